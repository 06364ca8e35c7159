import { parseTime } from '../format/age';
import type { ServerMessage } from './messages';

/** What one frame changed, by id, so that the caller need not compare whole collections. */
export interface Change<T> {
  /** True when the frame replaced everything that was known before. */
  replaced: boolean;
  upserted: T[];
  /** Ids which were held before and are gone now. */
  removed: string[];
}

type DataMessage = Extract<ServerMessage, { type: 'snapshot' | 'update' }>;

/**
 * Applies a snapshot or update to `items` in place and tells what changed.
 *
 * A snapshot is the server's word on everything and wins as it is, also when its times are
 * older (a recording started again). In an update, an item older than the one held is
 * skipped, so that nothing moves back. Items without an id are skipped.
 */
export function reduce<T extends { timestamp: string }>(
  items: Map<string, T>,
  idOf: (item: T) => string | undefined,
  message: DataMessage,
): Change<T> {
  const upserted: T[] = [];
  const seen = message.type === 'snapshot' ? new Set<string>() : null;
  for (const raw of message.data) {
    const item = raw as T;
    const id = idOf(item);
    if (id === undefined) continue;
    seen?.add(id);
    const held = items.get(id);
    if (!seen && held && isOlder(item.timestamp, held.timestamp)) continue;
    items.set(id, item);
    upserted.push(item);
  }
  const removed: string[] = [];
  const gone = seen ? [...items.keys()].filter((id) => !seen.has(id)) : goneOf(message);
  for (const id of gone) {
    if (items.delete(id)) removed.push(id);
  }
  return { replaced: message.type === 'snapshot', upserted, removed };
}

function goneOf(message: DataMessage): string[] {
  return message.type === 'update' ? message.removed : [];
}

function isOlder(candidate: string, held: string): boolean {
  // Same-format UTC text orders like the times it names; parsing is for the odd ones out.
  if (candidate.length === held.length && candidate.endsWith('Z') && held.endsWith('Z')) {
    return candidate < held;
  }
  return parseTime(candidate) < parseTime(held);
}
