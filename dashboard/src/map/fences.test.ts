import { describe, expect, it } from 'vitest';
import { drawable } from './fences';

describe('drawable', () => {
  it('keeps the id as a property and leaves out what is nowhere', () => {
    const square = { type: 'Polygon' as const, coordinates: [] };
    const drawn = drawable({
      type: 'FeatureCollection',
      features: [
        { type: 'Feature', id: 'port', geometry: square, properties: { name: 'Port' } },
        { type: 'Feature', id: 'around-a-bus', geometry: null, properties: {} },
      ],
    });
    expect(drawn.features.map((feature) => feature.properties)).toEqual([{ id: 'port' }]);
  });
});
