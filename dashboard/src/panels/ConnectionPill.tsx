import type { ConnectionState } from '../api/connection';
import { formatSpan, secondsUntil } from '../format/age';
import { useLive } from '../state/live';
import { retryNow } from '../state/session';
import styles from './ConnectionPill.module.css';
import { Hint } from './Hint';
import { Icon } from './Icon';
import { useNow } from './use-now';

interface Words {
  tone: 'ok' | 'wait' | 'warn' | 'bad';
  text: string;
  title: string;
  body: string;
}

export function describeConnection(state: ConnectionState, now_ms: number): Words {
  switch (state.phase) {
    case 'live':
      return {
        tone: 'ok',
        text: 'Live',
        title: 'Connected',
        body: `Data comes in over one WebSocket, for ${formatSpan(now_ms - state.since_ms)} now.`,
      };
    case 'stale':
      return {
        tone: 'warn',
        text: `Silent ${formatSpan(now_ms - state.last_message_ms)}`,
        title: 'Connected, but nothing comes in',
        body: 'What is shown is old. If it lasts, the connection is made anew.',
      };
    case 'connecting':
      return {
        tone: 'wait',
        text: state.attempt === 0 ? 'Connecting' : 'Reconnecting',
        title: 'Connecting to the server',
        body: state.attempt === 0 ? 'This takes a moment.' : `Attempt ${state.attempt}.`,
      };
    case 'waiting':
      return {
        tone: 'warn',
        text: `Reconnecting in ${secondsUntil(state.retry_at_ms, now_ms)} s`,
        title: 'The connection is lost',
        body: `What is shown is old. Attempt ${state.attempt} follows by itself; the wait grows up to 30 s.`,
      };
    case 'offline':
      return {
        tone: 'bad',
        text: 'Offline',
        title: 'This computer has no network',
        body: 'What is shown is old. The connection returns by itself with the network.',
      };
  }
}

export function ConnectionPill() {
  const state = useLive((live) => live.connection);
  const now_ms = Math.max(useNow(), 'since_ms' in state ? state.since_ms : 0);
  const words = describeConnection(state, now_ms);
  const waiting = state.phase === 'waiting' || state.phase === 'offline';
  return (
    <div className={styles.pill} data-tone={words.tone}>
      <Hint className={styles.text} text={{ title: words.title, body: words.body }}>
        <span className={styles.lamp} aria-hidden="true" />
        <span>{words.text}</span>
      </Hint>
      {waiting && (
        <button type="button" className={styles.retry} onClick={retryNow} aria-label="Reconnect now">
          <Icon name="retry" size={1} />
        </button>
      )}
      {/* Said once per change, not once per second. */}
      <span className="visually-hidden" role="status">
        {words.title}
      </span>
    </div>
  );
}
