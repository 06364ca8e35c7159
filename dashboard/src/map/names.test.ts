import { describe, expect, it } from 'vitest';
import type { Streets } from '../api/types';
import { chain, joinNames } from './names';

const street = (name: string | null, ...coordinates: [number, number][]): Streets['features'][number] => ({
  type: 'Feature',
  properties: { id: JSON.stringify(coordinates), name, class: 'residential' },
  geometry: { type: 'LineString', coordinates },
});

describe('chain', () => {
  it('joins pieces end to end, turning those drawn the other way', () => {
    const joined = chain([
      [
        [1, 0],
        [2, 0],
      ],
      [
        [1, 0],
        [0, 0],
      ],
      [
        [3, 0],
        [2, 0],
      ],
    ]);
    expect(joined).toHaveLength(1);
    const line = joined[0] ?? [];
    const xs = line.map((position) => position[0]);
    expect(xs[0] === 0 ? xs : xs.reverse()).toEqual([0, 1, 2, 3]);
  });

  it('uses each piece once, also where three meet and in a ring', () => {
    const pieces = [
      [
        [0, 0],
        [1, 0],
      ],
      [
        [0, 0],
        [0, 1],
      ],
      [
        [0, 0],
        [0, -1],
      ],
    ];
    const total = chain(pieces).reduce((sum, line) => sum + line.length - 1, 0);
    expect(total).toBe(3);
    const ring = chain([
      [
        [0, 0],
        [1, 0],
      ],
      [
        [1, 0],
        [0, 1],
      ],
      [
        [0, 1],
        [0, 0],
      ],
    ]);
    expect(ring).toHaveLength(1);
    expect(ring[0]).toHaveLength(4);
  });
});

describe('joinNames', () => {
  it('keeps streets of different names apart and leaves out the nameless', () => {
    const names = joinNames({
      type: 'FeatureCollection',
      features: [
        street('Avenyn', [0, 0], [1, 0]),
        street('Avenyn', [1, 0], [2, 0]),
        street('Vasagatan', [2, 0], [3, 0]),
        street(null, [3, 0], [4, 0]),
      ],
    });
    expect(
      names.features.map((feature) => [feature.properties.name, feature.geometry.coordinates.length]),
    ).toEqual([
      ['Avenyn', 3],
      ['Vasagatan', 2],
    ]);
  });
});
