import type { WindowFigures } from '../api/types';
import { parseTime } from '../format/age';

/** The mean speed of one minute. */
export interface MinuteSpeed {
  start_ms: number;
  speed_kmh: number;
  /** False while fixes may still come in. */
  final: boolean;
}

const MINUTE_MS = 60_000;

/** How far back the line goes. */
export const HISTORY_MINUTES = 20;

/** Minutes with a readable start and mean, in order, the last ones before the newest. */
export function minuteSpeeds(windows: readonly WindowFigures[]): MinuteSpeed[] {
  const minutes = windows
    .map((window) => ({
      start_ms: parseTime(window.window_start),
      speed_kmh: window.mean,
      final: window.final,
    }))
    .filter((minute) => Number.isFinite(minute.start_ms) && Number.isFinite(minute.speed_kmh))
    .sort((a, b) => a.start_ms - b.start_ms);
  const newest = minutes.at(-1)?.start_ms ?? 0;
  return minutes.filter((minute) => newest - minute.start_ms < HISTORY_MINUTES * MINUTE_MS);
}

/** A small drawing of a history: its line, the area below it and its newest point. */
export interface SparkShape {
  /** SVG path data. */
  line: string;
  area: string;
  end: { x: number; y: number };
}

/**
 * The shape of `minutes` in a box of `width` by `height`, y downwards. Time runs over the
 * whole width however few minutes there are; a gap of a minute or more breaks the line.
 * The scale spans at least `spanMin` km/h, so that a steady city looks steady.
 */
export function sparkShape(
  minutes: readonly MinuteSpeed[],
  width: number,
  height: number,
  spanMin = 10,
): SparkShape | null {
  const newest = minutes.at(-1);
  const oldest = minutes[0];
  if (!newest || !oldest || newest === oldest) return null;
  const speeds = minutes.map((minute) => minute.speed_kmh);
  const middle = (Math.min(...speeds) + Math.max(...speeds)) / 2;
  const span = Math.max(spanMin, Math.max(...speeds) - Math.min(...speeds));
  const time = newest.start_ms - oldest.start_ms;
  const x = (minute: MinuteSpeed) => ((minute.start_ms - oldest.start_ms) / time) * width;
  const y = (minute: MinuteSpeed) => height / 2 - ((minute.speed_kmh - middle) / span) * height;
  const round = (value: number) => Math.round(value * 100) / 100;
  let line = '';
  let area = '';
  let from: MinuteSpeed | null = null;
  let before: MinuteSpeed | null = null;
  const closeArea = () => {
    if (from && before) area += `L${round(x(before))} ${height}L${round(x(from))} ${height}Z`;
  };
  for (const minute of minutes) {
    const joined = before !== null && minute.start_ms - before.start_ms < 2 * MINUTE_MS;
    if (!joined) {
      closeArea();
      from = minute;
    }
    const point = `${joined ? 'L' : 'M'}${round(x(minute))} ${round(y(minute))}`;
    line += point;
    area += point;
    before = minute;
  }
  closeArea();
  return { line, area, end: { x: round(x(newest)), y: round(y(newest)) } };
}
