import type { Change } from '../api/reduce';
import type { TrailPoint, Vehicle } from '../api/types';
import { parseTime } from '../format/age';
import { advance, FADE_MS, type Fix, startTrack, type Track } from '../map/glide';

/**
 * The vehicles in view, outside of React: they change every second and are drawn sixty
 * times in between. Components read single vehicles on their own tick.
 */

export interface Leaving {
  track: Track;
  left_ms: number;
}

const TRAIL_LENGTH = 20;

export const vehicles = new Map<string, Vehicle>();
export const tracks = new Map<string, Track>();
/** Vehicles which left the view and are fading out. */
export const leaving = new Map<string, Leaving>();

/** The selected vehicle's last fixes, newest last. */
export const trail: { id: string | null; points: TrailPoint[] } = { id: null, points: [] };

export function fixOf(vehicle: Vehicle): Fix {
  return {
    lon: vehicle.longitude,
    lat: vehicle.latitude,
    heading: vehicle.direction ?? null,
    speed_kmh: vehicle.speed ?? 0,
    event_ms: parseTime(vehicle.timestamp),
  };
}

/** Carries a change of `vehicles` over to what is drawn. `now_ms` is the frame clock. */
export function applyFleetChange(change: Change<Vehicle>, now_ms: number): void {
  for (const vehicle of change.upserted) {
    const id = vehicle.vehicle_id;
    const fix = fixOf(vehicle);
    const track = tracks.get(id);
    // Only a snapshot may go back in time: a recording was started again.
    const restarted = track !== undefined && change.replaced && fix.event_ms < track.fix.event_ms;
    tracks.set(id, track && !restarted ? advance(track, fix, now_ms) : startTrack(fix, now_ms));
    leaving.delete(id);
    if (trail.id === id) extendTrail(vehicle);
  }
  for (const id of change.removed) {
    const track = tracks.get(id);
    if (track) leaving.set(id, { track, left_ms: now_ms });
    tracks.delete(id);
  }
}

export function sweepLeaving(now_ms: number): void {
  for (const [id, entry] of leaving) {
    if (now_ms - entry.left_ms >= FADE_MS) leaving.delete(id);
  }
}

function extendTrail(vehicle: Vehicle): void {
  const last = trail.points[trail.points.length - 1];
  if (last && parseTime(last.timestamp) >= parseTime(vehicle.timestamp)) return;
  const { latitude, longitude, speed, timestamp } = vehicle;
  trail.points = [...trail.points, { latitude, longitude, speed, timestamp }].slice(-TRAIL_LENGTH);
}

export function setTrail(id: string | null, points: TrailPoint[]): void {
  trail.id = id;
  trail.points = points.slice(-TRAIL_LENGTH);
}
