import { useUi } from '../state/ui';
import { useThemeName } from '../theme/use-theme';
import { Icon } from './Icon';
import styles from './IconButton.module.css';

/** Switches between night and paper; the choice is remembered on this computer. */
export function ThemeToggle() {
  const theme = useThemeName();
  const setTheme = useUi((ui) => ui.setTheme);
  const other = theme === 'dark' ? 'light' : 'dark';
  return (
    <button
      type="button"
      className={styles.button}
      onClick={() => setTheme(other)}
      aria-label={`Switch to the ${other} theme`}
      title={`Switch to the ${other} theme`}
    >
      <Icon name={theme === 'dark' ? 'sun' : 'moon'} />
    </button>
  );
}
