import type { Leaving } from '../state/fleet';
import { speedColor, type ThemeName } from '../theme/scales';
import { FADE_MS, opacityAt, type Pose, poseAt, type Track } from './glide';

/** Below this a vehicle stands, and its heading says nothing (km/h). */
export const STANDING_KMH = 3;

interface Look {
  theme: ThemeName;
  halo: readonly [number, number, number];
}

/**
 * The vehicles as the columns the graphics card takes: one entry each, filled anew every
 * frame without making garbage.
 */
export class FleetBuffers {
  length = 0;
  ids: string[] = [];
  positions = new Float64Array(0);
  angles = new Float32Array(0);
  colors = new Uint8ClampedArray(0);
  halos = new Uint8ClampedArray(0);
  standing = new Uint8Array(0);

  private readonly pose: Pose = { lon: 0, lat: 0, heading: 0, opacity: 1 };

  /** `glide_ms` is the moment on the vehicles' way; ahead of `now_ms`, all stand at their fix. */
  fill(
    tracks: ReadonlyMap<string, Track>,
    leaving: ReadonlyMap<string, Leaving>,
    now_ms: number,
    glide_ms: number,
    look: Look,
  ): void {
    // Each teleport draws its ghost as well, hence twice.
    this.reserve(tracks.size * 2 + leaving.size);
    this.length = 0;
    for (const [id, track] of tracks) {
      poseAt(track, glide_ms, this.pose);
      this.pose.opacity = opacityAt(track, now_ms);
      this.push(id, this.pose, track.fix.speed_kmh, look);
      const ghost = track.ghost;
      if (!ghost || now_ms - ghost.since_ms >= FADE_MS) continue;
      const opacity = 1 - (now_ms - ghost.since_ms) / FADE_MS;
      this.push(id, { ...ghost, opacity }, track.fix.speed_kmh, look);
    }
    for (const [id, { track, left_ms }] of leaving) {
      poseAt(track, glide_ms, this.pose);
      this.pose.opacity = opacityAt(track, now_ms) * Math.max(0, 1 - (now_ms - left_ms) / FADE_MS);
      this.push(id, this.pose, track.fix.speed_kmh, look);
    }
  }

  private push(id: string, pose: Pose, speed_kmh: number, look: Look): void {
    const i = this.length++;
    this.ids[i] = id;
    this.positions[i * 3] = pose.lon;
    this.positions[i * 3 + 1] = pose.lat;
    this.angles[i] = -pose.heading;
    this.standing[i] = speed_kmh < STANDING_KMH ? 1 : 0;
    const [red, green, blue] = speedColor(speed_kmh, look.theme);
    const alpha = pose.opacity * 255;
    this.colors.set([red, green, blue, alpha], i * 4);
    this.halos.set([look.halo[0], look.halo[1], look.halo[2], alpha * 0.85], i * 4);
  }

  private reserve(count: number): void {
    if (this.angles.length >= count) return;
    const capacity = Math.max(256, 2 ** Math.ceil(Math.log2(count)));
    this.positions = new Float64Array(capacity * 3);
    this.angles = new Float32Array(capacity);
    this.colors = new Uint8ClampedArray(capacity * 4);
    this.halos = new Uint8ClampedArray(capacity * 4);
    this.standing = new Uint8Array(capacity);
  }
}
