import { type CSSProperties, useMemo } from 'react';
import { cityWeather, figures } from '../state/figures';
import { useLive } from '../state/live';
import { toSeverity } from '../theme/scales';
import styles from './FigureStrip.module.css';
import { Hint } from './Hint';
import { Sparkline } from './Sparkline';
import { useNow } from './use-now';

export function FigureStrip() {
  const summary = useLive((live) => live.summary);
  const incidents = useLive((live) => (live.incidentsKnown ? live.incidents.length : null));
  const critical = useLive(
    (live) => live.incidents.filter((incident) => toSeverity(incident.severity) === 'critical').length,
  );
  const stations = useLive((live) => live.stations);
  const old = useLive((live) => live.connection.phase !== 'live');
  const lag = useLive((live) => live.lag);
  const speedHistory = useLive((live) => live.speedHistory);
  const weather = useMemo(() => cityWeather(stations), [stations]);
  const now_ms = useNow();
  return (
    <section className={styles.strip} aria-label="The city in figures" data-old={old && summary !== null}>
      {figures({ summary, incidents, critical, weather, lag, speedHistory, now_ms }).map((figure) => (
        <Hint
          key={figure.key}
          className={styles.figure}
          style={{ '--room': `${figure.room_rem}rem` } as CSSProperties}
          text={{ title: figure.meaning, body: figure.method, age: figure.age }}
        >
          <span className={styles.words}>
            <span className={styles.label}>{figure.label}</span>{' '}
            <span className={styles.line}>
              <span className={styles.value}>{figure.value}</span>{' '}
              {figure.unit && (
                <span className={styles.unit} data-loud={figure.loud}>
                  {figure.unit}
                </span>
              )}
            </span>
          </span>
          {figure.history && <Sparkline points={figure.history} />}
        </Hint>
      ))}
    </section>
  );
}
