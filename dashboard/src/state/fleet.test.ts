import { beforeEach, describe, expect, it } from 'vitest';
import { type Change, reduce } from '../api/reduce';
import type { Vehicle } from '../api/types';
import { FADE_MS } from '../map/glide';
import { applyFleetChange, leaving, setTrail, sweepLeaving, tracks, trail, vehicles } from './fleet';

const vehicle = (second: number, longitude = 11.9, id = 'a'): Vehicle => ({
  vehicle_id: id,
  latitude: 57.7,
  longitude,
  speed: 50,
  direction: 90,
  timestamp: `2026-01-01T00:00:${String(second).padStart(2, '0')}Z`,
});

function receive(
  type: 'snapshot' | 'update',
  data: Vehicle[],
  removed: string[],
  now_ms: number,
): Change<Vehicle> {
  const change = reduce<Vehicle>(vehicles, (each) => each.vehicle_id, {
    type,
    id: 'vehicles',
    data,
    removed,
  });
  applyFleetChange(change, now_ms);
  return change;
}

beforeEach(() => {
  vehicles.clear();
  tracks.clear();
  leaving.clear();
  setTrail(null, []);
});

describe('the fleet', () => {
  it('glides from fix to fix', () => {
    receive('snapshot', [vehicle(0)], [], 0);
    receive('update', [vehicle(1, 11.9002)], [], 1_000);
    expect(tracks.get('a')?.path).toHaveLength(2);
  });

  it('lets a removed vehicle fade, and takes one back that returns', () => {
    receive('snapshot', [vehicle(0), vehicle(0, 11.8, 'b')], [], 0);
    receive('update', [], ['a', 'b'], 1_000);
    expect([...leaving.keys()]).toEqual(['a', 'b']);
    expect(tracks.size).toBe(0);
    receive('update', [vehicle(2)], [], 1_100);
    expect([...leaving.keys()]).toEqual(['b']);
    sweepLeaving(1_000 + FADE_MS);
    expect(leaving.size).toBe(0);
  });

  it('begins anew where a snapshot goes back in time', () => {
    receive('snapshot', [vehicle(30)], [], 0);
    receive('snapshot', [vehicle(1, 11.5)], [], 1_000);
    expect(tracks.get('a')?.path).toEqual([[11.5, 57.7]]);
  });

  it('extends the trail of the selected vehicle only, by newer fixes, to 20 points', () => {
    setTrail('a', [{ latitude: 57.7, longitude: 11.9, speed: 40, timestamp: '2026-01-01T00:00:00Z' }]);
    receive('snapshot', [vehicle(0), vehicle(1, 11.8, 'b')], [], 0);
    expect(trail.points).toHaveLength(1);
    for (let second = 1; second <= 30; second++) {
      receive('update', [vehicle(second, 11.9 + second / 10_000)], [], second * 1_000);
    }
    expect(trail.points).toHaveLength(20);
    expect(trail.points.at(-1)?.timestamp).toBe('2026-01-01T00:00:30Z');
  });
});
