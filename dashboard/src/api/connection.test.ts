import { describe, expect, it } from 'vitest';
import {
  BACKOFF_MAX_MS,
  backoffMs,
  type ConnectionEvent,
  type ConnectionState,
  DEAD_AFTER_MS,
  type Effect,
  initialConnection,
  SETTLED_AFTER_MS,
  STALE_AFTER_MS,
  step,
} from './connection';

function run(events: ConnectionEvent[], from: ConnectionState = initialConnection) {
  const effects: Effect[] = [];
  let state = from;
  for (const event of events) {
    const next = step(state, event);
    state = next.state;
    effects.push(...next.effects);
  }
  return { state, effects };
}

const closed = (now_ms: number, online = true): ConnectionEvent => ({
  type: 'closed',
  now_ms,
  random: 0.5,
  online,
});

describe('backoff', () => {
  it('doubles up to its limit and keeps half of it random', () => {
    expect(backoffMs(1, 1)).toBe(500);
    expect(backoffMs(2, 1)).toBe(1_000);
    expect(backoffMs(3, 1)).toBe(2_000);
    expect(backoffMs(50, 1)).toBe(BACKOFF_MAX_MS);
    expect(backoffMs(3, 0)).toBe(1_000);
  });
});

describe('the connection', () => {
  it('is live once open, and asks for a resync', () => {
    const { state, effects } = run([{ type: 'opened', now_ms: 10 }]);
    expect(state).toMatchObject({ phase: 'live', since_ms: 10 });
    expect(effects).toEqual(['resync']);
  });

  it('waits longer from failure to failure', () => {
    let state: ConnectionState = initialConnection;
    const waits: number[] = [];
    for (let now_ms = 0, n = 0; n < 5; n++) {
      state = run([closed(now_ms)], state).state;
      if (state.phase !== 'waiting') throw new Error(state.phase);
      waits.push(state.retry_at_ms - now_ms);
      now_ms = state.retry_at_ms;
      const next = step(state, { type: 'tick', now_ms });
      expect(next.effects).toEqual(['open']);
      state = next.state;
    }
    expect(waits).toEqual([375, 750, 1_500, 3_000, 6_000]);
  });

  it('does not open before the wait is over', () => {
    const { state } = run([closed(0)]);
    expect(step(state, { type: 'tick', now_ms: 374 })).toEqual({ state, effects: [] });
  });

  it('starts the ladder anew only after a connection that stood', () => {
    const climbed: ConnectionState = { phase: 'connecting', attempt: 6 };
    const brief = run([{ type: 'opened', now_ms: 0 }, closed(100)], climbed).state;
    expect(brief).toMatchObject({ phase: 'waiting', attempt: 7 });
    const settled = run([{ type: 'opened', now_ms: 0 }, closed(SETTLED_AFTER_MS)], climbed).state;
    expect(settled).toMatchObject({ phase: 'waiting', attempt: 1 });
  });

  it('turns stale in silence, asks, and is live again with the next message', () => {
    const opened: ConnectionEvent = { type: 'opened', now_ms: 0 };
    const stale = run([opened, { type: 'tick', now_ms: STALE_AFTER_MS }]);
    expect(stale.state.phase).toBe('stale');
    expect(stale.effects).toEqual(['resync', 'ping']);
    const again = run([{ type: 'message', now_ms: STALE_AFTER_MS + 1 }], stale.state);
    expect(again.state).toMatchObject({ phase: 'live', since_ms: 0 });
  });

  it('gives a dead peer up', () => {
    const { effects } = run([
      { type: 'opened', now_ms: 0 },
      { type: 'tick', now_ms: DEAD_AFTER_MS },
    ]);
    expect(effects).toContain('close');
  });

  it('is offline when the machine has no network, and returns with it at once', () => {
    const offline = run([{ type: 'opened', now_ms: 0 }, { type: 'network_lost' }, closed(5, false)]);
    expect(offline.state.phase).toBe('offline');
    const back = run([{ type: 'network_back' }], offline.state);
    expect(back.state).toEqual({ phase: 'connecting', attempt: 0 });
    expect(back.effects).toEqual(['open']);
  });

  it('tries at once when told to', () => {
    const waiting = run([closed(0)]).state;
    expect(run([{ type: 'retry_now' }], waiting).effects).toEqual(['open']);
    const live = run([{ type: 'opened', now_ms: 0 }]).state;
    expect(step(live, { type: 'retry_now' })).toEqual({ state: live, effects: [] });
  });
});
