import { describe, expect, it } from 'vitest';
import { advance, distanceM, FADE_MS, type Fix, isTeleport, poseAt, startTrack, turn } from './glide';

const fix = (lon: number, lat: number, event_ms: number, heading: number | null = 90): Fix => ({
  lon,
  lat,
  heading,
  speed_kmh: 50,
  event_ms,
});

/** About 14 m east at this latitude: one second at 50 km/h. */
const STEP = 0.000234;
const LAT = 57.7;

describe('a vehicle between two fixes', () => {
  it('starts where it is drawn and reaches the fix about one interval later', () => {
    const first = startTrack(fix(11.9, LAT, 0), 0);
    const track = advance(first, fix(11.9 + STEP, LAT, 1_000), 1_000);
    expect(poseAt(track, 1_000).lon).toBeCloseTo(11.9, 9);
    const half = poseAt(track, 1_540).lon;
    expect(half).toBeGreaterThan(11.9 + STEP * 0.45);
    expect(half).toBeLessThan(11.9 + STEP * 0.55);
    expect(poseAt(track, 2_100).lon).toBeCloseTo(11.9 + STEP, 9);
  });

  it('stays at the newest fix when the next one is late', () => {
    const track = advance(startTrack(fix(11.9, LAT, 0), 0), fix(11.9 + STEP, LAT, 1_000), 1_000);
    expect(poseAt(track, 9_000).lon).toBeCloseTo(11.9 + STEP, 9);
  });

  it('never jumps and never moves backwards on a straight way with jittering arrivals', () => {
    let track = startTrack(fix(11.9, LAT, 0), 0);
    let arrival_ms = 0;
    let last = 11.9;
    for (let n = 1; n <= 60; n++) {
      const next_ms = arrival_ms + 1_000 + (n % 3 === 0 ? 420 : n % 3 === 1 ? -380 : 90);
      for (let t = arrival_ms; t < next_ms; t += 16) {
        const { lon } = poseAt(track, t);
        expect(lon).toBeGreaterThanOrEqual(last - 1e-12);
        expect(lon - last).toBeLessThan(STEP * 0.2);
        last = lon;
      }
      arrival_ms = next_ms;
      track = advance(track, fix(11.9 + STEP * n, LAT, n * 1_000), arrival_ms);
    }
  });

  it('passes through a fix it had not reached instead of cutting the corner', () => {
    let track = startTrack(fix(11.9, LAT, 0), 0);
    track = advance(track, fix(11.9 + STEP, LAT, 1_000), 1_000);
    // The next fix, to the north, comes when half the way east is still to go.
    track = advance(track, fix(11.9 + STEP, LAT + STEP, 2_000, 0), 1_540);
    const corner = Array.from({ length: 200 }, (_, i) => poseAt(track, 1_540 + i * 10));
    const nearest = Math.min(...corner.map((p) => distanceM([p.lon, p.lat], [11.9 + STEP, LAT])));
    expect(nearest).toBeLessThan(0.5);
  });

  it('ignores a fix that is not newer', () => {
    const track = advance(startTrack(fix(11.9, LAT, 0), 0), fix(11.9 + STEP, LAT, 1_000), 1_000);
    expect(advance(track, fix(11.8, LAT, 1_000), 1_500)).toBe(track);
    expect(advance(track, fix(11.8, LAT, 500), 1_500)).toBe(track);
  });

  it('learns the interval of the fixes', () => {
    let track = startTrack(fix(11.9, LAT, 0), 0);
    for (let n = 1; n <= 20; n++) track = advance(track, fix(11.9 + STEP * n, LAT, n * 5_000), n * 5_000);
    expect(track.interval_ms).toBeCloseTo(5_000, -1);
  });

  it('takes its heading from the way where the stream carries none', () => {
    const track = advance(startTrack(fix(11.9, LAT, 0, null), 0), fix(11.9 + STEP, LAT, 1_000, null), 1_000);
    expect(poseAt(track, 3_000).heading).toBeCloseTo(90, 1);
  });
});

describe('a teleport', () => {
  it('is told from fast driving and from coarse fixes', () => {
    const here = fix(11.9, LAT, 0);
    expect(isTeleport(here, fix(11.9 + STEP, LAT, 1_000))).toBe(false);
    expect(isTeleport(here, fix(11.95, LAT, 1_000))).toBe(true);
    // 800 m within a minute of event time is an ordinary drive, however soon it arrives.
    expect(isTeleport(here, fix(11.9134, LAT, 60_000))).toBe(false);
    // Nobody knows the way taken in ten minutes.
    expect(isTeleport(here, fix(11.9134, LAT, 600_000))).toBe(true);
    // A parked car that speaks again stays where it is.
    expect(isTeleport(here, fix(11.9, LAT, 600_000))).toBe(false);
  });

  it('fades in at the new place and leaves a ghost at the old one', () => {
    const track = advance(startTrack(fix(11.9, LAT, 0), 0), fix(12.0, LAT, 1_000), 1_000);
    expect(poseAt(track, 1_000)).toMatchObject({ lon: 12.0, opacity: 0 });
    expect(poseAt(track, 1_000 + FADE_MS).opacity).toBe(1);
    expect(track.ghost).toMatchObject({ lon: 11.9, since_ms: 1_000 });
  });
});

describe('a vehicle that falls silent', () => {
  it('is dimmed, not removed', () => {
    const track = startTrack(fix(11.9, LAT, 0), 0);
    expect(poseAt(track, 20_000).opacity).toBe(1);
    const silent = poseAt(track, 60_000).opacity;
    expect(silent).toBeGreaterThan(0.2);
    expect(silent).toBeLessThan(0.6);
  });
});

describe('turn', () => {
  it('takes the short way round north', () => {
    expect(turn(350, 10, 0.5)).toBeCloseTo(0);
    expect(turn(10, 350, 0.25)).toBeCloseTo(5);
    expect(turn(90, 180, 1)).toBeCloseTo(180);
  });
});
