import { useMemo } from 'react';
import { type MinuteSpeed, sparkShape } from '../state/history';
import styles from './Sparkline.module.css';

/** Drawn in these units and stretched to its place; lines keep their width. */
const WIDTH = 60;
const HEIGHT = 24;

/** A history as a small line, the newest at the right. Says nothing that the words do not. */
export function Sparkline({ points }: { points: readonly MinuteSpeed[] }) {
  const shape = useMemo(() => sparkShape(points, WIDTH, HEIGHT), [points]);
  return (
    <svg
      className={styles.spark}
      viewBox={`-2 -3 ${WIDTH + 5} ${HEIGHT + 6}`}
      aria-hidden="true"
      data-testid="sparkline"
    >
      {shape && (
        <>
          <path className={styles.area} d={shape.area} />
          <path className={styles.line} d={shape.line} />
          <circle className={styles.end} cx={shape.end.x} cy={shape.end.y} r="2.25" />
        </>
      )}
    </svg>
  );
}
