import type { Change } from '../api/reduce';
import type { RoadTraffic, StreetProperties, Streets } from '../api/types';

/** Streets and the traffic on them, outside of React. The map listens for changes. */

export const traffic = new Map<string, RoadTraffic>();
export const streetsById = new Map<string, StreetProperties>();

type Listener = (change: Change<RoadTraffic>) => void;
const listeners = new Set<Listener>();

export function onTraffic(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function publishTraffic(change: Change<RoadTraffic>): void {
  for (const listener of listeners) listener(change);
}

export function indexStreets(streets: Streets): void {
  streetsById.clear();
  for (const feature of streets.features) streetsById.set(feature.properties.id, feature.properties);
}

const UNNAMED: Record<string, string> = {
  motorway: 'Motorway',
  motorway_link: 'Motorway ramp',
  trunk: 'Trunk road',
  trunk_link: 'Trunk road ramp',
  primary: 'Main road',
  primary_link: 'Main road ramp',
  secondary: 'Secondary road',
  tertiary: 'Local road',
  residential: 'Residential street',
  living_street: 'Living street',
  service: 'Service road',
};

/** The street's name; what kind it is where it has none; null where the id is not known. */
export function streetName(road_id: string | null | undefined): string | null {
  const street = road_id ? streetsById.get(road_id) : undefined;
  if (!street) return null;
  return street.name ?? UNNAMED[street.class] ?? 'Unnamed street';
}
