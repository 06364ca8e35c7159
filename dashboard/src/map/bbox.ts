import type { Bbox } from '../api/types';

const clamp = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value));

/**
 * The viewport grown by `share` of its size on each side, so that vehicles just outside
 * are already moving when they come into view. Stays on the globe; six decimals (0.1 m).
 */
export function padBbox(box: Bbox, share = 0.25): Bbox {
  const [west, south, east, north] = box;
  const dx = (east - west) * share;
  const dy = (north - south) * share;
  const round = (value: number) => Math.round(value * 1e6) / 1e6;
  return [
    round(clamp(west - dx, -180, 180)),
    round(clamp(south - dy, -90, 90)),
    round(clamp(east + dx, -180, 180)),
    round(clamp(north + dy, -90, 90)),
  ];
}

export function contains(box: Bbox, lon: number, lat: number): boolean {
  return lon >= box[0] && lon <= box[2] && lat >= box[1] && lat <= box[3];
}

/**
 * The part of a city to open with. On a tall narrow screen the whole of a wide city is too
 * small to read: its sides are cut, by 45 % at most. `aspect` is width by height.
 */
export function cropToView(box: Bbox, aspect: number): Bbox {
  const [west, south, east, north] = box;
  const squeeze = Math.cos((((south + north) / 2) * Math.PI) / 180);
  const wanted = ((north - south) * aspect) / squeeze;
  const width = clamp(wanted, (east - west) * 0.55, east - west);
  const middle = (west + east) / 2;
  return [middle - width / 2, south, middle + width / 2, north];
}

/** True when all of `inner` is inside `outer`. */
export function covers(outer: Bbox, inner: Bbox): boolean {
  return contains(outer, inner[0], inner[1]) && contains(outer, inner[2], inner[3]);
}

/**
 * The box that holds the middle 96 % of the points in each direction: one stray fix in
 * the sea does not zoom the city out of sight. Null without points.
 */
export function robustBounds(points: readonly { longitude: number; latitude: number }[]): Bbox | null {
  if (points.length === 0) return null;
  const lons = points.map((p) => p.longitude).sort((a, b) => a - b);
  const lats = points.map((p) => p.latitude).sort((a, b) => a - b);
  const cut = Math.floor(points.length * 0.02);
  const at = (sorted: number[], index: number) => sorted[clamp(index, 0, sorted.length - 1)] ?? 0;
  const last = points.length - 1;
  return [at(lons, cut), at(lats, cut), at(lons, last - cut), at(lats, last - cut)];
}

/**
 * How many vehicles to offer as "outside the view": only when the operator is likely to
 * miss them, that is, nothing is in view, or the whole city is and a good part is not.
 */
export function outsideCount(input: {
  total: number;
  inView: number;
  view: Bbox | null;
  city: Bbox | null;
}): number {
  const outside = input.total - input.inView;
  if (outside <= 0) return 0;
  if (input.inView === 0) return outside;
  const wholeCity = input.view && input.city && covers(input.view, input.city);
  return wholeCity && outside > Math.max(5, input.total * 0.05) ? outside : 0;
}
