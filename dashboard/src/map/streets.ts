import type { ExpressionSpecification, LineLayerSpecification, SymbolLayerSpecification } from 'maplibre-gl';
import { css } from '../theme/oklch';
import { CONGESTION_LEVELS, congestionColor, type ThemeName } from '../theme/scales';
import { PALETTES } from './palette';

export const STREETS_SOURCE = 'streets';
export const NAMES_SOURCE = 'street-names';

/** From quiet to loud; later ones are drawn above. `classes` are OpenStreetMap `highway` values. */
const GROUPS = [
  { key: 'minor', classes: ['service', 'track', 'living_street', 'pedestrian'], widths: [0.3, 0.9, 4] },
  { key: 'local', classes: ['residential', 'unclassified', 'road'], widths: [0.5, 1.5, 7] },
  { key: 'tertiary', classes: ['tertiary', 'tertiary_link'], widths: [0.8, 2.2, 9] },
  { key: 'secondary', classes: ['secondary', 'secondary_link'], widths: [1.0, 2.6, 10] },
  { key: 'main', classes: ['primary', 'primary_link', 'trunk_link', 'trunk'], widths: [1.3, 3.2, 12] },
  { key: 'motorway', classes: ['motorway', 'motorway_link'], widths: [1.6, 3.8, 14] },
] as const;

const ZOOMS = [11, 14, 17, 20] as const;

type Widths = readonly [number, number, number];
const atZoom = (widths: Widths, index: number): number =>
  index < 3 ? (widths[index as 0 | 1 | 2] ?? 1) : widths[2] * 4;

function widthByZoom(output: (index: number) => number | ExpressionSpecification): ExpressionSpecification {
  const stops = ZOOMS.flatMap((zoom, index) => [zoom, output(index)]);
  return ['interpolate', ['exponential', 1.6], ['zoom'], ...stops] as unknown as ExpressionSpecification;
}

/** Width of any street at zoom stop `index`, by its class, as an expression. */
function classWidth(index: number, scale: number): ExpressionSpecification {
  const cases = GROUPS.flatMap((group) => [[...group.classes], atZoom(group.widths, index) * scale]);
  return ['match', ['get', 'class'], ...cases, 0.5 * scale] as unknown as ExpressionSpecification;
}

const LEVEL: ExpressionSpecification = ['coalesce', ['feature-state', 'level'], -1];

function byLevel<T>(values: readonly [T, T, T, T], otherwise: T): ExpressionSpecification {
  return [
    'match',
    LEVEL,
    ...values.flatMap((value, level) => [level, value]),
    otherwise,
  ] as unknown as ExpressionSpecification;
}

/** The street lines by class. `scale` is 1 on a desk screen, 2 on a wall of 3840 px. */
export function streetLayers(theme: ThemeName, scale: number): LineLayerSpecification[] {
  const known = GROUPS.flatMap((group) => [...group.classes]);
  return GROUPS.map((group) => ({
    id: `street-${group.key}`,
    type: 'line',
    source: STREETS_SOURCE,
    // Classes this build does not know are drawn as local streets rather than left out.
    filter:
      group.key === 'local'
        ? [
            'any',
            ['in', ['get', 'class'], ['literal', [...group.classes]]],
            ['!', ['in', ['get', 'class'], ['literal', known]]],
          ]
        : ['in', ['get', 'class'], ['literal', [...group.classes]]],
    layout: { 'line-cap': 'round', 'line-join': 'round' },
    paint: {
      'line-color': PALETTES[theme].street[group.key],
      'line-width': widthByZoom((index) => atZoom(group.widths, index) * scale),
    },
  }));
}

/** Congestion over the streets, from each feature's state `level` 0..3; none where unmeasured. */
export function congestionLayers(
  theme: ThemeName,
  scale: number,
  visible: boolean,
): LineLayerSpecification[] {
  const colors = CONGESTION_LEVELS.map((level) => css(congestionColor(level, theme)).replaceAll(' ', ','));
  const color = byLevel(colors as unknown as readonly [string, string, string, string], 'rgba(0,0,0,0)');
  const extra = byLevel([0.2 * scale, 0.8 * scale, 1.4 * scale, 2 * scale], 0);
  const layout = {
    'line-cap': 'round',
    'line-join': 'round',
    visibility: visible ? 'visible' : 'none',
  } as const;
  return [
    {
      id: 'congestion-glow',
      type: 'line',
      source: STREETS_SOURCE,
      layout,
      paint: {
        'line-color': color,
        'line-opacity': byLevel([0, 0, 0.2, 0.32], 0),
        'line-blur': 6 * scale,
        'line-width': widthByZoom((index) => ['+', classWidth(index, scale), 10 * scale]),
      },
    },
    {
      id: 'congestion',
      type: 'line',
      source: STREETS_SOURCE,
      layout,
      paint: {
        'line-color': color,
        'line-opacity': byLevel([0.75, 0.9, 1, 1], 0),
        'line-width': widthByZoom((index) => ['+', classWidth(index, scale), extra]),
      },
    },
  ];
}

/** Street names along their lines, drawn in the page's own typeface without glyph files. */
export function nameLayer(theme: ThemeName, scale: number, visible: boolean): SymbolLayerSpecification {
  const palette = PALETTES[theme];
  return {
    id: 'street-names',
    type: 'symbol',
    source: NAMES_SOURCE,
    minzoom: 12.5,
    filter: ['>=', ['zoom'], ['get', 'minzoom']],
    layout: {
      visibility: visible ? 'visible' : 'none',
      'symbol-placement': 'line',
      'symbol-sort-key': ['get', 'rank'],
      'symbol-spacing': 320 * scale,
      'text-field': ['get', 'name'],
      'text-font': ['Inter Variable'],
      'text-size': ['interpolate', ['linear'], ['zoom'], 13, 10.5 * scale, 17, 13.5 * scale],
      'text-letter-spacing': 0.02,
      'text-max-angle': 32,
      'text-padding': 6,
    },
    paint: {
      'text-color': palette.label,
      'text-halo-color': palette.labelHalo,
      'text-halo-width': 1.6 * scale,
    },
  };
}
