/**
 * The life of the one WebSocket as a pure state machine: no clock, no socket, no timer.
 * `socket.ts` feeds it events and carries out the effects it returns.
 */

export type ConnectionState =
  | { phase: 'connecting'; attempt: number }
  | { phase: 'live'; attempt: number; since_ms: number; last_message_ms: number }
  | { phase: 'stale'; attempt: number; since_ms: number; last_message_ms: number }
  | { phase: 'waiting'; attempt: number; retry_at_ms: number }
  /** The same wait with the machine's own network reported down. */
  | { phase: 'offline'; attempt: number; retry_at_ms: number };

export type ConnectionEvent =
  | { type: 'opened'; now_ms: number }
  | { type: 'message'; now_ms: number }
  | { type: 'closed'; now_ms: number; random: number; online: boolean }
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
/** A connection that stood this long has proved itself: the next loss starts a new ladder. */
export const SETTLED_AFTER_MS = 10_000;

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
const reopen = (attempt: number): Step => ({ state: { phase: 'connecting', attempt }, effects: ['open'] });

const isStanding = (state: ConnectionState) => state.phase === 'live' || state.phase === 'stale';
const isWaiting = (state: ConnectionState) => state.phase === 'waiting' || state.phase === 'offline';

export function step(state: ConnectionState, event: ConnectionEvent): Step {
  switch (event.type) {
    case 'opened':
      return {
        state: {
          phase: 'live',
          attempt: state.attempt,
          since_ms: event.now_ms,
          last_message_ms: event.now_ms,
        },
        effects: ['resync'],
      };
    case 'message':
      if (state.phase !== 'live' && state.phase !== 'stale') return stay(state);
      return stay({ ...state, phase: 'live', last_message_ms: event.now_ms });
    case 'closed':
      return onClosed(state, event);
    case 'tick':
      return onTick(state, event.now_ms);
    case 'retry_now':
      return isWaiting(state) ? reopen(state.attempt) : stay(state);
    case 'network_lost':
      // A server on this machine outlives the network: ask before giving up on it.
      return { state, effects: isStanding(state) ? ['ping'] : [] };
    case 'network_back':
      return isWaiting(state) ? reopen(0) : stay(state);
  }
}

function onClosed(state: ConnectionState, event: Extract<ConnectionEvent, { type: 'closed' }>): Step {
  if (state.phase === 'waiting' || state.phase === 'offline') return stay(state);
  const settled = state.phase !== 'connecting' && event.now_ms - state.since_ms >= SETTLED_AFTER_MS;
  const attempt = (settled ? 0 : state.attempt) + 1;
  const retry_at_ms = event.now_ms + backoffMs(attempt, event.random);
  return stay({ phase: event.online ? 'waiting' : 'offline', attempt, retry_at_ms });
}

function onTick(state: ConnectionState, now_ms: number): Step {
  if (state.phase === 'waiting' || state.phase === 'offline') {
    return now_ms >= state.retry_at_ms ? reopen(state.attempt) : stay(state);
  }
  if (state.phase === 'connecting') return stay(state);
  const silent_ms = now_ms - state.last_message_ms;
  // The close event follows and starts the wait; the effect alone changes nothing here.
  if (silent_ms >= DEAD_AFTER_MS) return { state, effects: ['close'] };
  if (silent_ms >= STALE_AFTER_MS && state.phase === 'live') {
    return { state: { ...state, phase: 'stale' }, effects: ['ping'] };
  }
  return stay(state);
}
