/**
 * The life of the one WebSocket as a pure state machine: no clock, no socket, no timer.
 * `socket.ts` feeds it events and carries out the effects it returns.
 */

export type ConnectionState =
  | { phase: 'connecting'; attempt: number }
  | { phase: 'live'; since_ms: number; last_message_ms: number }
  | { phase: 'stale'; since_ms: number; last_message_ms: number }
  | { phase: 'waiting'; attempt: number; retry_at_ms: number }
  | { phase: 'offline'; attempt: number };

export type ConnectionEvent =
  | { type: 'opened'; now_ms: number }
  | { type: 'message'; now_ms: number }
  | { type: 'closed'; now_ms: number; random: number }
  | { type: 'tick'; now_ms: number }
  | { type: 'retry_now' }
  | { type: 'network_lost' }
  | { type: 'network_back' };

export type Effect = 'open' | 'close' | 'ping' | 'resync';

export interface Step {
  state: ConnectionState;
  effects: Effect[];
}

export const BACKOFF_FIRST_MS = 500;
export const BACKOFF_MAX_MS = 30_000;
/** Silence after which figures are shown as stale; the server speaks every 5 s at least. */
export const STALE_AFTER_MS = 12_000;
/** Silence after which the socket is taken for dead, although nobody closed it. */
export const DEAD_AFTER_MS = 40_000;

/**
 * Wait before attempt `attempt` (1 = first retry): exponential, with half of it random,
 * so that a wall of dashboards does not return to a restarted server in one blow.
 * `random` is in 0..1.
 */
export function backoffMs(attempt: number, random: number): number {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.max(0, attempt - 1));
  return Math.round(ceiling / 2 + (ceiling / 2) * random);
}

export const initialConnection: ConnectionState = { phase: 'connecting', attempt: 0 };

const stay = (state: ConnectionState): Step => ({ state, effects: [] });

export function step(state: ConnectionState, event: ConnectionEvent): Step {
  switch (event.type) {
    case 'opened':
      return {
        state: { phase: 'live', since_ms: event.now_ms, last_message_ms: event.now_ms },
        effects: ['resync'],
      };
    case 'message':
      if (state.phase !== 'live' && state.phase !== 'stale') return stay(state);
      return stay({ phase: 'live', since_ms: state.since_ms, last_message_ms: event.now_ms });
    case 'closed':
      return onClosed(state, event.now_ms, event.random);
    case 'tick':
      return onTick(state, event.now_ms);
    case 'retry_now':
      if (state.phase !== 'waiting' && state.phase !== 'offline') return stay(state);
      return { state: { phase: 'connecting', attempt: state.attempt }, effects: ['open'] };
    case 'network_lost':
      return { state: { phase: 'offline', attempt: 0 }, effects: ['close'] };
    case 'network_back':
      if (state.phase !== 'offline') return stay(state);
      return { state: { phase: 'connecting', attempt: 0 }, effects: ['open'] };
  }
}

function onClosed(state: ConnectionState, now_ms: number, random: number): Step {
  if (state.phase === 'offline' || state.phase === 'waiting') return stay(state);
  // A connection that stood for a while starts the ladder anew; one that failed climbs it.
  const attempt = (state.phase === 'connecting' ? state.attempt : 0) + 1;
  return stay({ phase: 'waiting', attempt, retry_at_ms: now_ms + backoffMs(attempt, random) });
}

function onTick(state: ConnectionState, now_ms: number): Step {
  if (state.phase === 'waiting' && now_ms >= state.retry_at_ms) {
    return { state: { phase: 'connecting', attempt: state.attempt }, effects: ['open'] };
  }
  if (state.phase !== 'live' && state.phase !== 'stale') return stay(state);
  const silent_ms = now_ms - state.last_message_ms;
  // The close event follows and starts the wait; the effect alone changes nothing here.
  if (silent_ms >= DEAD_AFTER_MS) return { state, effects: ['close'] };
  if (silent_ms >= STALE_AFTER_MS && state.phase === 'live') {
    return { state: { ...state, phase: 'stale' }, effects: ['ping'] };
  }
  return stay(state);
}
