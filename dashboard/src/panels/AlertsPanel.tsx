import { useMemo, useState } from 'react';
import type { Alert } from '../api/types';
import { formatAge, parseTime } from '../format/age';
import { humanize } from '../format/number';
import { flyTo } from '../map/camera';
import { useLive } from '../state/live';
import { acknowledge } from '../state/session';
import { useUi } from '../state/ui';
import { SEVERITIES, toSeverity } from '../theme/scales';
import styles from './AlertsPanel.module.css';
import { Icon } from './Icon';
import { SeverityMark } from './SeverityMark';
import { useNow } from './use-now';

/** More rows than anyone reads would only slow the page. */
const ROWS_MAX = 200;

/** What nobody has seen first, then the worst, and among equals the newest. */
export function byAttention(a: Alert, b: Alert): number {
  const seen = (alert: Alert) => (alert.status === 'acknowledged' ? 1 : 0);
  const rank = (alert: Alert) => SEVERITIES.indexOf(toSeverity(alert.severity));
  const began = (alert: Alert) => parseTime(alert.started_at) || 0;
  return seen(a) - seen(b) || rank(a) - rank(b) || began(b) - began(a);
}

/** One alert as a line of the list, and alone as a card; pressing it flies there. */
export function AlertRow({ alert, now_ms }: { alert: Alert; now_ms: number }) {
  const selected = useUi((ui) => ui.selection?.kind === 'alert' && ui.selection.id === alert.alert_id);
  const [failure, setFailure] = useState<string | null>(null);
  const [sending, setSending] = useState(false);
  const open = () => {
    useUi.getState().select({ kind: 'alert', id: alert.alert_id });
    useUi.getState().closeSheet();
    if (alert.latitude !== undefined && alert.longitude !== undefined) {
      flyTo(alert.longitude, alert.latitude);
    }
  };
  const seen = async () => {
    setSending(true);
    setFailure(await acknowledge(alert.alert_id));
    setSending(false);
  };
  return (
    <div className={styles.alert} data-selected={selected} data-seen={alert.status === 'acknowledged'}>
      <button type="button" className={styles.open} onClick={open}>
        <SeverityMark severity={toSeverity(alert.severity)} size={1.5} />
        <span className={styles.words}>
          <span className={styles.head}>
            <span className={styles.rule}>{humanize(alert.rule)}</span>
            <span className={styles.age}>{formatAge(parseTime(alert.started_at), now_ms)}</span>
          </span>
          <span className={styles.message} title={alert.message}>
            {alert.message}
          </span>
          <span className={styles.state}>
            {humanize(alert.severity)} ·{' '}
            {alert.acknowledged_by ? `seen by ${alert.acknowledged_by}` : alert.subject}
          </span>
          {failure && <span className={styles.failure}>{failure}</span>}
        </span>
      </button>
      {alert.status !== 'acknowledged' && (
        <button
          type="button"
          className={styles.seen}
          onClick={() => void seen()}
          disabled={sending}
          aria-label={`Acknowledge: ${alert.message}`}
          title="Acknowledge: somebody has seen this"
        >
          <Icon name="check" />
        </button>
      )}
    </div>
  );
}

export function AlertsPanel() {
  const alerts = useLive((live) => live.alerts);
  const known = useLive((live) => live.alertsKnown);
  const now_ms = useNow();
  const sorted = useMemo(() => [...alerts].sort(byAttention), [alerts]);
  if (!known) return <p className={styles.empty}>Waiting for the first report…</p>;
  if (sorted.length === 0) {
    return <p className={styles.empty}>No alerts. What the rules find appears here and on the map.</p>;
  }
  return (
    <ul className={styles.list}>
      {sorted.slice(0, ROWS_MAX).map((alert) => (
        <li key={alert.alert_id}>
          <AlertRow alert={alert} now_ms={now_ms} />
        </li>
      ))}
      {sorted.length > ROWS_MAX && (
        <li className={styles.empty}>and {sorted.length - ROWS_MAX} that matter less</li>
      )}
    </ul>
  );
}
