import type { Map as MapLibreMap } from 'maplibre-gl';
import type { Bbox } from '../api/types';

/** Moves of the view that panels ask for. The map registers itself here when it stands. */

let map: MapLibreMap | null = null;

export function registerMap(instance: MapLibreMap | null): void {
  map = instance;
}

const calm = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

/** What panels cover, so that the middle of a move is the middle of what can be seen. */
export function viewPadding(): { top: number; bottom: number; left: number; right: number } {
  const rem = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
  if (innerWidth < 720) return { top: 8 * rem, bottom: 7 * rem, left: rem, right: rem };
  return { top: 6 * rem, bottom: 1.5 * rem, left: 16 * rem, right: 19 * rem };
}

/** On a narrow screen the sheet covers the lower half: what is looked for belongs above it. */
export function lookOffset(): [number, number] {
  return innerWidth < 720 ? [0, -0.2 * innerHeight] : [0, 0];
}

export function flyTo(longitude: number, latitude: number, zoom = 15.2): void {
  if (!map) return;
  const target = { center: [longitude, latitude] as [number, number], zoom: Math.max(map.getZoom(), zoom) };
  if (calm()) map.jumpTo(target);
  else map.flyTo({ ...target, offset: lookOffset(), duration: 1_200 });
}

export function flyToBounds(bounds: Bbox): void {
  if (!map) return;
  const [west, south, east, north] = bounds;
  map.fitBounds([west, south, east, north], {
    padding: viewPadding(),
    maxZoom: 16,
    duration: calm() ? 0 : 1_200,
  });
}

export function zoomBy(delta: number): void {
  map?.zoomTo(map.getZoom() + delta, { duration: calm() ? 0 : 200 });
}

export function northUp(): void {
  map?.easeTo({ bearing: 0, pitch: 0, duration: calm() ? 0 : 300 });
}
