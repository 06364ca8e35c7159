import { useLive } from '../state/live';
import { ConnectionPill } from './ConnectionPill';
import { FigureStrip } from './FigureStrip';
import { ThemeToggle } from './ThemeToggle';
import styles from './TopBar.module.css';

export function TopBar() {
  const city = useLive((live) => live.city);
  return (
    <header className={styles.bar}>
      <div className={styles.brand}>
        <svg viewBox="0 0 32 32" className={styles.logo} aria-hidden="true">
          <path d="M3 18h6l3.4-10 5.4 16 3.4-9H29" />
        </svg>
        <div>
          <h1>{city?.name ?? 'CityPulse'}</h1>
          <p>{city ? 'CityPulse' : 'Live city'}</p>
        </div>
      </div>
      <FigureStrip />
      <div className={styles.tools}>
        <ConnectionPill />
        <ThemeToggle />
      </div>
    </header>
  );
}
