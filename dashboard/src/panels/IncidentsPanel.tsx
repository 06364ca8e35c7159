import { useMemo } from 'react';
import type { Incident } from '../api/types';
import { formatAge, parseTime } from '../format/age';
import { humanize } from '../format/number';
import { flyTo } from '../map/camera';
import { useLive } from '../state/live';
import { streetName } from '../state/roads';
import { useUi } from '../state/ui';
import { SEVERITIES, toSeverity } from '../theme/scales';
import styles from './IncidentsPanel.module.css';
import { SeverityMark } from './SeverityMark';
import { useNow } from './use-now';

/** Worst first; among equals the newest first. */
export function byUrgency(a: Incident, b: Incident): number {
  const rank = (incident: Incident) => SEVERITIES.indexOf(toSeverity(incident.severity));
  return rank(a) - rank(b) || startOf(b) - startOf(a);
}

export const startOf = (incident: Incident): number =>
  parseTime(incident.started_at ?? incident.timestamp) || 0;

/** One incident as a line of the list, and alone as a card; pressing it flies there. */
export function IncidentRow({ incident, now_ms }: { incident: Incident; now_ms: number }) {
  const selected = useUi(
    (ui) => ui.selection?.kind === 'incident' && ui.selection.id === incident.incident_id,
  );
  const street = streetName(incident.road_id);
  const open = () => {
    useUi.getState().select({ kind: 'incident', id: incident.incident_id });
    useUi.getState().closeSheet();
    flyTo(incident.longitude, incident.latitude);
  };
  return (
    <button type="button" className={styles.incident} data-selected={selected} onClick={open}>
      <SeverityMark severity={toSeverity(incident.severity)} size={1.5} />
      <span className={styles.words}>
        <span className={styles.head}>
          <span className={styles.type}>{humanize(incident.incident_type)}</span>
          <span className={styles.age}>{formatAge(startOf(incident), now_ms)}</span>
        </span>
        <span className={styles.where}>{street ?? incident.description ?? 'Place on the map'}</span>
        <span className={styles.state}>
          {humanize(incident.severity)} · {humanize(incident.status)}
          {incident.units?.length ? ` · ${incident.units.length} on it` : ''}
        </span>
        {selected && street && incident.description && (
          <span className={styles.description}>{incident.description}</span>
        )}
      </span>
    </button>
  );
}

export function IncidentsPanel() {
  const incidents = useLive((live) => live.incidents);
  const known = useLive((live) => live.incidentsKnown);
  const now_ms = useNow();
  const sorted = useMemo(() => [...incidents].sort(byUrgency), [incidents]);
  if (!known) return <p className={styles.empty}>Waiting for the first report…</p>;
  if (sorted.length === 0) {
    return <p className={styles.empty}>No active incidents. New ones appear here and pulse on the map.</p>;
  }
  return (
    <ul className={styles.list}>
      {sorted.map((incident) => (
        <li key={incident.incident_id}>
          <IncidentRow incident={incident} now_ms={now_ms} />
        </li>
      ))}
    </ul>
  );
}
