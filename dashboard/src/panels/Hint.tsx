import { type CSSProperties, type ReactNode, useCallback, useEffect, useId, useRef, useState } from 'react';
import { createPortal } from 'react-dom';
import styles from './Hint.module.css';

export interface HintText {
  title: string;
  body?: string;
  age?: string;
}

/** Explains itself on hover, on keyboard focus and on touch. The child is the button's content. */
export function Hint({
  text,
  className,
  style,
  children,
}: {
  text: HintText;
  className?: string | undefined;
  style?: CSSProperties;
  children: ReactNode;
}) {
  const id = useId();
  const anchor = useRef<HTMLButtonElement>(null);
  const [place, setPlace] = useState<{ left: number; top: number } | null>(null);

  const show = useCallback(() => {
    const box = anchor.current?.getBoundingClientRect();
    if (!box) return;
    const rem = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
    const width = 17 * rem;
    const left = Math.min(Math.max(rem / 2, box.left), innerWidth - width - rem / 2);
    setPlace({ left, top: box.bottom + rem / 2 });
  }, []);
  const hide = useCallback(() => setPlace(null), []);

  useEffect(() => {
    if (!place) return;
    const onKey = (event: KeyboardEvent) => event.key === 'Escape' && hide();
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [place, hide]);

  return (
    <>
      <button
        ref={anchor}
        type="button"
        className={className}
        style={style}
        aria-describedby={id}
        onPointerEnter={show}
        onPointerLeave={hide}
        onFocus={show}
        onBlur={hide}
        onClick={show}
      >
        {children}
      </button>
      <span id={id} className="visually-hidden">
        {[text.title, text.body, text.age && `Updated ${text.age}.`].filter(Boolean).join('. ')}
      </span>
      {place &&
        createPortal(
          <div className={styles.hint} style={place} aria-hidden="true">
            <strong>{text.title}</strong>
            {text.body && <p>{text.body}</p>}
            {text.age && <p className={styles.age}>{text.age}</p>}
          </div>,
          document.body,
        )}
    </>
  );
}
