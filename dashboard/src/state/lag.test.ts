import { describe, expect, it } from 'vitest';
import type { LayerLag } from '../api/types';
import { describeLag, isBehind, lagOf } from './lag';

const row = (layer: string, lag_events: number, lag_seconds: number | null): LayerLag => ({
  layer,
  topic: 'gps_data',
  partition: 0,
  lag_events,
  lag_seconds,
});

describe('lagOf', () => {
  it('sums events and takes the longest wait per layer', () => {
    const lag = lagOf(
      [row('speed', 3, 0.4), row('speed', 2, 1.2), row('batch', 900, 4), row('batch', 0, 0)],
      7,
    );
    expect(lag).toEqual({
      speed: { events: 5, seconds: 1.2, position_age_s: 0 },
      batch: { events: 900, seconds: 4, position_age_s: 0 },
      at_ms: 7,
    });
  });
  it('does not know the longest wait where one is not known', () => {
    expect(lagOf([row('speed', 3, 0.4), row('speed', 1, null)], 0).speed.seconds).toBeNull();
    expect(lagOf([row('speed', 0, null)], 0).speed).toEqual({
      events: 0,
      seconds: 0,
      position_age_s: 0,
    });
  });
});

describe('isBehind', () => {
  it('speaks up when the map shows a city that was', () => {
    expect(isBehind(null)).toBe(false);
    expect(isBehind(lagOf([row('speed', 100, 10)], 0))).toBe(false);
    expect(isBehind(lagOf([row('speed', 100, 10.1)], 0))).toBe(true);
    expect(isBehind(lagOf([row('speed', 100, null)], 0))).toBe(true);
    expect(isBehind(lagOf([row('batch', 100_000, 900)], 0))).toBe(false);
  });
});

describe('a position that is not looked up any more', () => {
  it('is said with its age', () => {
    const stale = { ...row('speed', 2, 40), position_age_s: 39 };
    const fresh = { ...row('batch', 0, 0), position_age_s: 0 };
    const lag = lagOf([row('speed', 1, 1), stale, fresh], 0);
    expect(lag.speed.position_age_s).toBe(39);
    expect(describeLag(lag)).toContain('Live view: 3 events, the oldest for 40.0 s (as of 39 s ago).');
    expect(describeLag(lag)).toContain('History: nothing waits.');
  });
});

describe('describeLag', () => {
  it('says how much waits in both layers', () => {
    const lag = lagOf([row('speed', 1, 0.25), row('batch', 15_300, 4.2)], 0);
    expect(describeLag(lag)).toBe(
      'Age of the oldest event that waits. Live view: 1 event, the oldest for 0.3 s. ' +
        'History: 15\u202f300 events, the oldest for 4.2 s.',
    );
    expect(describeLag(lagOf([], 0))).toContain('Live view: nothing waits.');
  });
});
