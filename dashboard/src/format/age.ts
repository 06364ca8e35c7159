import { UNKNOWN } from './number';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Clocks of device, server and browser may differ this much before we speak of it. */
const CLOCK_TOLERANCE_MS = 5 * SECOND;

/**
 * Age in words that tick: "now", "3 s ago", "4 min ago", "2 h ago". Beyond two days the
 * date, since then it is a recording. A time ahead of ours says so rather than lie.
 */
export function formatAge(then_ms: number, now_ms: number): string {
  if (!Number.isFinite(then_ms)) return UNKNOWN;
  const age = now_ms - then_ms;
  if (age < -CLOCK_TOLERANCE_MS) return `clock ${formatSpan(-age)} ahead`;
  if (age < SECOND) return 'now';
  if (age < 2 * DAY) return `${formatSpan(age)} ago`;
  return `${new Date(then_ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** A duration in its largest whole unit: "12 s", "4 min", "3 h", "5 d". */
export function formatSpan(span_ms: number): string {
  if (span_ms < MINUTE) return `${Math.max(0, Math.floor(span_ms / SECOND))} s`;
  if (span_ms < HOUR) return `${Math.floor(span_ms / MINUTE)} min`;
  if (span_ms < 2 * DAY) return `${Math.floor(span_ms / HOUR)} h`;
  return `${Math.floor(span_ms / DAY)} d`;
}

/** Whole seconds left until a moment, never below 0. */
export function secondsUntil(at_ms: number, now_ms: number): number {
  return Math.max(0, Math.ceil((at_ms - now_ms) / SECOND));
}

/** Milliseconds of an RFC 3339 text; a time without a zone is UTC. NaN if unreadable. */
export function parseTime(text: string | null | undefined): number {
  if (!text) return Number.NaN;
  const zoned = /(?:z|[+-]\d{2}:?\d{2})$/i.test(text);
  return Date.parse(zoned ? text : `${text}Z`);
}
