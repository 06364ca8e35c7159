import type { Map as MapLibreMap } from 'maplibre-gl';
import { onTraffic, traffic } from '../state/roads';
import { CONGESTION_LEVELS, toCongestionLevel } from '../theme/scales';
import { STREETS_SOURCE } from './streets';

/** Keeps each street's feature state `level` in step with the traffic channel. */
export function followCongestion(map: MapLibreMap): () => void {
  const show = (road_id: string, congestion: string) =>
    map.setFeatureState(
      { source: STREETS_SOURCE, id: road_id },
      { level: CONGESTION_LEVELS.indexOf(toCongestionLevel(congestion)) },
    );
  for (const road of traffic.values()) show(road.road_id, road.congestion_level);
  return onTraffic(({ upserted, removed }) => {
    for (const road of upserted) show(road.road_id, road.congestion_level);
    for (const id of removed) map.removeFeatureState({ source: STREETS_SOURCE, id });
  });
}
