import type { FillLayerSpecification, LineLayerSpecification } from 'maplibre-gl';
import type { Fences } from '../api/types';
import { css } from '../theme/oklch';
import type { ThemeName } from '../theme/scales';
import { PALETTES } from './palette';

export const FENCES_SOURCE = 'fences';
export const FENCE_AREAS = 'fence-areas';

/** For the map, which keeps an id that is text only as a property. */
export const drawable = (fences: Fences | null) =>
  ({
    type: 'FeatureCollection',
    features: (fences?.features ?? [])
      .filter(({ geometry }) => geometry !== null)
      .map((feature) => ({ ...feature, properties: { id: feature.id } })),
  }) as GeoJSON.FeatureCollection;

/** The areas of geofences: a tint that streets show through, and a dashed outline. */
export function fenceLayers(
  theme: ThemeName,
  scale: number,
  visible: boolean,
): [FillLayerSpecification, LineLayerSpecification] {
  const color = css(PALETTES[theme].accent);
  const visibility = visible ? 'visible' : 'none';
  return [
    {
      id: FENCE_AREAS,
      type: 'fill',
      source: FENCES_SOURCE,
      layout: { visibility },
      paint: { 'fill-color': color, 'fill-opacity': theme === 'dark' ? 0.1 : 0.08 },
    },
    {
      id: 'fence-outlines',
      type: 'line',
      source: FENCES_SOURCE,
      layout: { visibility, 'line-join': 'round' },
      paint: {
        'line-color': color,
        'line-opacity': 0.85,
        'line-width': 1.5 * scale,
        'line-dasharray': [4, 2],
      },
    },
  ];
}
