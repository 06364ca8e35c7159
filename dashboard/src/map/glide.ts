/**
 * How a vehicle moves on screen between two fixes. Pure: time is passed in, in
 * milliseconds of any one clock.
 *
 * The picture runs about one fix interval behind: when a fix arrives, the vehicle starts
 * from where it is drawn and reaches the fix about when the next one is due. It passes
 * through the fix before, if it has not yet been reached, so that it does not cut corners.
 * It never moves backwards along its way, and a teleport fades out and in instead.
 */

export interface Fix {
  lon: number;
  lat: number;
  /** Degrees clockwise from north; null where the stream carries none. */
  heading: number | null;
  speed_kmh: number;
  /** Time of the fix itself, ms since the epoch. */
  event_ms: number;
}

export interface Track {
  /** The way still to go: where it started, an unreached fix, the newest fix. */
  path: [lon: number, lat: number][];
  /** Length of `path` at each of its points, metres. */
  along_m: number[];
  start_ms: number;
  duration_ms: number;
  heading_from: number;
  heading_to: number;
  /** Smoothed time between arrivals, ms. */
  interval_ms: number;
  arrived_ms: number;
  /** When the present fade-in began. */
  appeared_ms: number;
  fix: Fix;
  /** A teleport leaves its ghost behind, which fades out. */
  ghost: { lon: number; lat: number; heading: number; since_ms: number } | null;
}

export interface Pose {
  lon: number;
  lat: number;
  heading: number;
  /** 0..1, from fading in, and out when the vehicle has fallen silent. */
  opacity: number;
}

export const FADE_MS = 450;
const FIRST_INTERVAL_MS = 1_000;
const MIN_INTERVAL_MS = 100;
const MAX_INTERVAL_MS = 30_000;
/** Glides end a little after the next fix is due: a slightly late fix does not stop the wheels. */
const STRETCH = 1.08;
/** No road vehicle: 70 m/s is 252 km/h. */
const TELEPORT_MPS = 70;
const TELEPORT_MIN_M = 120;
/** After a silence this long nobody knows the way in between. */
const GAP_MS = 180_000;
const SILENT_AFTER_MS = 30_000;
const SILENT_OPACITY = 0.38;

const METRES_PER_DEGREE = 111_320;

/** Metres between two points a city apart; flat-earth, good to 0.1 % below 100 km. */
export function distanceM(a: readonly [number, number], b: readonly [number, number]): number {
  const scale = Math.cos((((a[1] + b[1]) / 2) * Math.PI) / 180);
  return Math.hypot((b[0] - a[0]) * scale, b[1] - a[1]) * METRES_PER_DEGREE;
}

/** The heading a share `t` of the short way round from `from` to `to`, in 0..360. */
export function turn(from: number, to: number, t: number): number {
  const delta = ((to - from + 540) % 360) - 180;
  return (((from + delta * t) % 360) + 360) % 360;
}

export function startTrack(fix: Fix, now_ms: number): Track {
  const heading = fix.heading ?? 0;
  return {
    path: [[fix.lon, fix.lat]],
    along_m: [0],
    start_ms: now_ms,
    duration_ms: 0,
    heading_from: heading,
    heading_to: heading,
    interval_ms: FIRST_INTERVAL_MS,
    arrived_ms: now_ms,
    appeared_ms: now_ms,
    fix,
    ghost: null,
  };
}

export function isTeleport(from: Fix, to: Fix): boolean {
  const metres = distanceM([from.lon, from.lat], [to.lon, to.lat]);
  if (metres < TELEPORT_MIN_M) return false;
  const elapsed_ms = Math.max(1_000, to.event_ms - from.event_ms);
  return elapsed_ms > GAP_MS || metres / (elapsed_ms / 1_000) > TELEPORT_MPS;
}

/** Takes a new fix into the track. A fix no newer than the one held changes nothing. */
export function advance(track: Track, fix: Fix, now_ms: number): Track {
  if (fix.event_ms <= track.fix.event_ms) return track;
  const here = poseAt(track, now_ms);
  if (isTeleport(track.fix, fix)) {
    const ghost = { lon: here.lon, lat: here.lat, heading: here.heading, since_ms: now_ms };
    return { ...startTrack(fix, now_ms), interval_ms: track.interval_ms, ghost };
  }
  const interval_ms = smoothInterval(track, now_ms);
  const path = remainingPath(track, here, now_ms);
  path.push([fix.lon, fix.lat]);
  const along_m = lengths(path);
  return {
    path,
    along_m,
    start_ms: now_ms,
    duration_ms: interval_ms * STRETCH,
    heading_from: here.heading,
    heading_to: fix.heading ?? headingAlong(path, here.heading),
    interval_ms,
    arrived_ms: now_ms,
    appeared_ms: track.appeared_ms,
    fix,
    ghost: track.ghost && now_ms - track.ghost.since_ms < FADE_MS ? track.ghost : null,
  };
}

function smoothInterval(track: Track, now_ms: number): number {
  const seen = Math.min(MAX_INTERVAL_MS, Math.max(MIN_INTERVAL_MS, now_ms - track.arrived_ms));
  // The first interval is known exactly; later ones only correct it.
  return track.duration_ms === 0 ? seen : track.interval_ms * 0.7 + seen * 0.3;
}

function remainingPath(track: Track, here: Pose, now_ms: number): [number, number][] {
  const path: [number, number][] = [[here.lon, here.lat]];
  const target = track.path[track.path.length - 1];
  // Only the last unreached fix: a longer tail would let a burst pile up.
  if (target && progress(track, now_ms) < 1) path.push(target);
  return path;
}

function lengths(path: [number, number][]): number[] {
  const along = [0];
  for (let i = 1; i < path.length; i++) {
    const a = path[i - 1];
    const b = path[i];
    along.push((along[i - 1] ?? 0) + (a && b ? distanceM(a, b) : 0));
  }
  return along;
}

function headingAlong(path: [number, number][], fallback: number): number {
  const a = path[path.length - 2];
  const b = path[path.length - 1];
  if (!a || !b || distanceM(a, b) < 2) return fallback;
  const scale = Math.cos((a[1] * Math.PI) / 180);
  return ((Math.atan2((b[0] - a[0]) * scale, b[1] - a[1]) * 180) / Math.PI + 360) % 360;
}

function progress(track: Track, now_ms: number): number {
  if (track.duration_ms <= 0) return 1;
  return Math.min(1, Math.max(0, (now_ms - track.start_ms) / track.duration_ms));
}

/** Where to draw the vehicle at `now_ms`. Writes into `out` to spare 60 000 objects a second. */
export function poseAt(
  track: Track,
  now_ms: number,
  out: Pose = { lon: 0, lat: 0, heading: 0, opacity: 1 },
): Pose {
  const t = progress(track, now_ms);
  const last = track.path.length - 1;
  const done_m = t * (track.along_m[last] ?? 0);
  let leg = 1;
  while (leg < last && (track.along_m[leg] ?? 0) < done_m) leg++;
  const b = track.path[Math.min(leg, last)] ?? [track.fix.lon, track.fix.lat];
  const a = track.path[Math.min(leg, last) - 1] ?? b;
  const from_m = track.along_m[leg - 1] ?? 0;
  const leg_m = (track.along_m[leg] ?? 0) - from_m;
  const share = leg_m > 0 ? Math.min(1, Math.max(0, (done_m - from_m) / leg_m)) : 1;
  out.lon = a[0] + (b[0] - a[0]) * share;
  out.lat = a[1] + (b[1] - a[1]) * share;
  // Cars turn in the first part of a leg rather than slide sideways around it.
  out.heading = turn(track.heading_from, track.heading_to, Math.min(1, t * 1.6));
  out.opacity = opacityAt(track, now_ms);
  return out;
}

/** From fading in when it appears, and dimmed when its vehicle has fallen silent. */
export function opacityAt(track: Track, now_ms: number): number {
  const fade_in = Math.min(1, Math.max(0, (now_ms - track.appeared_ms) / FADE_MS));
  const silent_ms = now_ms - track.arrived_ms - Math.max(SILENT_AFTER_MS, 3 * track.interval_ms);
  if (silent_ms <= 0) return fade_in;
  const fade_out = Math.min(1, silent_ms / 2_000);
  return fade_in * (1 - fade_out * (1 - SILENT_OPACITY));
}
