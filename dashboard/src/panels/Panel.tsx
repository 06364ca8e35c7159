import type { ReactNode } from 'react';
import { Icon } from './Icon';
import iconButton from './IconButton.module.css';
import styles from './Panel.module.css';

/** A floating card with a title and a way to put it away. */
export function Panel({
  title,
  badge,
  onClose,
  closeLabel,
  className,
  children,
}: {
  title: string;
  badge?: ReactNode;
  onClose?: () => void;
  closeLabel?: string;
  className?: string | undefined;
  children: ReactNode;
}) {
  return (
    <section className={`${styles.panel} ${className ?? ''}`} aria-label={title}>
      <header className={styles.header}>
        <h2>{title}</h2>
        {badge}
        {onClose && (
          <button
            type="button"
            className={iconButton.button}
            onClick={onClose}
            aria-label={closeLabel ?? 'Close'}
          >
            <Icon name="close" size={1} />
          </button>
        )}
      </header>
      <div className={styles.content}>{children}</div>
    </section>
  );
}
