import type { Bbox, Channel, CitySummary } from './types';

/** A frame from `/ws/realtime`, narrowed to what the dashboard acts on. */
export type ServerMessage =
  | { type: 'city_analytics'; data: CitySummary }
  | { type: 'subscribed'; id: string }
  | { type: 'snapshot'; id: string; data: unknown[]; resume?: string }
  | { type: 'update'; id: string; data: unknown[]; removed: string[]; resume?: string }
  | { type: 'error'; id?: string; detail: string }
  | { type: 'pong' }
  | { type: 'other' };

export interface SubscribeRequest {
  id: string;
  channel: Channel;
  bbox?: Bbox;
  max_hz?: number;
  resume?: string;
}

function asArray(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  return value === undefined || value === null ? [] : [value];
}

/**
 * Reads one text frame. A frame of a type that is not known here is `other`, so that a
 * newer server can add types; a frame that is not a JSON object is `null`.
 */
export function parseMessage(text: string): ServerMessage | null {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return null;
  const message = raw as Record<string, unknown>;
  const id = String(message.id ?? '');
  const resume = typeof message.resume === 'string' ? message.resume : undefined;
  switch (message.type) {
    case 'city_analytics':
      return { type: 'city_analytics', data: message.data as CitySummary };
    case 'subscribed':
      return { type: 'subscribed', id };
    case 'snapshot':
      return { type: 'snapshot', id, data: asArray(message.data), resume };
    case 'update':
      return {
        type: 'update',
        id,
        data: asArray(message.data),
        removed: asArray(message.removed).map(String),
        resume,
      };
    case 'error':
      return { type: 'error', id: id || undefined, detail: String(message.detail ?? 'unknown error') };
    case 'pong':
      return { type: 'pong' };
    default:
      return { type: 'other' };
  }
}

export function encodeSubscribe(request: SubscribeRequest): string {
  return JSON.stringify({ type: 'subscribe', format: 'json', ...request });
}
