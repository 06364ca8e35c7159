import { describe, expect, it } from 'vitest';
import type { WindowFigures } from '../api/types';
import { HISTORY_MINUTES, type MinuteSpeed, minuteSpeeds, sparkShape } from './history';

const START_MS = Date.UTC(2026, 0, 1);
const at = (minute: number) => START_MS + minute * 60_000;

const window = (minute: number, mean: number, final = true): WindowFigures => ({
  key: 'speed',
  window_start: new Date(at(minute)).toISOString(),
  window_end: new Date(at(minute + 1)).toISOString(),
  count: 10,
  mean,
  final,
});

const minute = (minute: number, speed_kmh: number): MinuteSpeed => ({
  start_ms: at(minute),
  speed_kmh,
  final: true,
});

describe('minuteSpeeds', () => {
  it('orders minutes and keeps the last twenty before the newest', () => {
    const windows = [
      window(40, 30, false),
      ...Array.from({ length: 40 }, (_, index) => window(index, index)),
    ];
    const minutes = minuteSpeeds(windows);
    expect(minutes).toHaveLength(HISTORY_MINUTES);
    expect(minutes.at(-1)).toEqual({ start_ms: at(40), speed_kmh: 30, final: false });
    expect(minutes[0]?.start_ms).toBe(at(21));
  });
  it('leaves out what cannot be drawn', () => {
    const broken = { ...window(0, 1), window_start: 'soon' };
    expect(minuteSpeeds([broken, window(1, Number.NaN)])).toEqual([]);
  });
});

describe('sparkShape', () => {
  it('spans the box from the oldest to the newest minute', () => {
    const shape = sparkShape([minute(0, 20), minute(1, 40), minute(2, 30)], 60, 24);
    expect(shape?.line).toBe('M0 24L30 0L60 12');
    expect(shape?.area).toBe('M0 24L30 0L60 12L60 24L0 24Z');
    expect(shape?.end).toEqual({ x: 60, y: 12 });
  });
  it('is flat where the speed is steady', () => {
    const shape = sparkShape([minute(0, 30), minute(1, 30.5)], 60, 20);
    expect(shape?.line).toBe('M0 10.5L60 9.5');
  });
  it('breaks where a minute is missing', () => {
    const shape = sparkShape([minute(0, 20), minute(1, 20), minute(3, 40), minute(4, 40)], 60, 24);
    expect(shape?.line.match(/M/g)).toHaveLength(2);
    expect(shape?.area.match(/Z/g)).toHaveLength(2);
  });
  it('draws nothing of fewer than two minutes', () => {
    expect(sparkShape([], 60, 24)).toBeNull();
    expect(sparkShape([minute(0, 20)], 60, 24)).toBeNull();
  });
});
