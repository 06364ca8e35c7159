import type { LayerLag } from '../api/types';
import { formatSpan } from '../format/age';
import { formatNumber } from '../format/number';

/** How far one layer is behind, over all partitions. */
export interface LayerBehind {
  /** Events still to do, the sum. */
  events: number;
  /** How long the oldest of them has been waiting, the maximum; null where that is not known. */
  seconds: number | null;
  /** How long positions have not been looked up, the maximum, s; 0 where they are known. */
  position_age_s: number;
}

export interface Lag {
  speed: LayerBehind;
  batch: LayerBehind;
  /** When it was asked, ms. */
  at_ms: number;
}

function behind(rows: readonly LayerLag[], layer: string): LayerBehind {
  let events = 0;
  let seconds: number | null = 0;
  let position_age_s = 0;
  for (const row of rows) {
    if (row.layer !== layer) continue;
    position_age_s = Math.max(position_age_s, row.position_age_s ?? 0);
    if (row.lag_events <= 0) continue;
    events += row.lag_events;
    const waited = row.lag_seconds ?? null;
    // One unknown makes the maximum unknown.
    seconds = seconds === null || waited === null ? null : Math.max(seconds, waited);
  }
  return { events, seconds, position_age_s };
}

export function lagOf(rows: readonly LayerLag[], at_ms: number): Lag {
  return { speed: behind(rows, 'speed'), batch: behind(rows, 'batch'), at_ms };
}

/** Beyond this the map shows a city that was. */
const BEHIND_S = 10;

export function isBehind(lag: Lag | null): boolean {
  return lag !== null && lag.speed.events > 0 && (lag.speed.seconds ?? BEHIND_S + 1) > BEHIND_S;
}

function words({ events, seconds, position_age_s }: LayerBehind): string {
  const stale = position_age_s >= 1 ? ` (as of ${formatSpan(position_age_s * 1_000)} ago)` : '';
  if (events === 0) return `nothing waits${stale}`;
  const count = `${formatNumber(events)} event${events === 1 ? '' : 's'}`;
  const waits = seconds === null ? `${count} wait` : `${count}, the oldest for ${formatNumber(seconds, 1)} s`;
  return waits + stale;
}

/** Both layers in words. */
export function describeLag(lag: Lag | null): string {
  if (!lag) return 'Age of the oldest event that the speed layer has still to take in.';
  return `Age of the oldest event that waits. Live view: ${words(lag.speed)}. History: ${words(lag.batch)}.`;
}
