import type { PickingInfo } from '@deck.gl/core';
import { MapboxOverlay } from '@deck.gl/mapbox';
import {
  Layer,
  type MapLayerMouseEvent,
  type MapRef,
  Map as MapView,
  Source,
  type ViewStateChangeEvent,
} from '@vis.gl/react-maplibre';
import { type Map as MapLibreMap, setWorkerUrl } from 'maplibre-gl';
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url';
import 'maplibre-gl/dist/maplibre-gl.css';
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import type { Alert, Bbox, Camera, City, Incident, Streets, WeatherStation } from '../api/types';
import { useLive } from '../state/live';
import { setView, watchVehicles } from '../state/session';
import { useUi } from '../state/ui';
import { useDisplayScale, useReducedMotion, useThemeName } from '../theme/use-theme';
import { cropToView, padBbox } from './bbox';
import { registerMap, viewPadding } from './camera';
import { followCongestion } from './congestion';
import { drawable, FENCE_AREAS, FENCES_SOURCE, fenceLayers } from './fences';
import { type Hovered, hover } from './hover';
import { joinNames } from './names';
import { SceneLoop } from './scene';
import { congestionLayers, NAMES_SOURCE, nameLayer, STREETS_SOURCE, streetLayers } from './streets';

setWorkerUrl(workerUrl);

const EMPTY_STYLE = { version: 8 as const, sources: {}, layers: [] };
const NO_STREETS: Streets = { type: 'FeatureCollection', features: [] };
/** Moves in quick succession ask the server once. */
const SETTLE_MS = 200;
const PICK_RADIUS_PX = matchMedia('(pointer: coarse)').matches ? 18 : 6;

declare global {
  interface Window {
    /** For tests: what is really drawn, and how fast. */
    __citypulse?: { vehicles(): number; fps(): number; state(): string };
  }
}

function firstView(city: City) {
  const bounds = cropToView(city.bounds, innerWidth / innerHeight) as [number, number, number, number];
  return { bounds, fitBoundsOptions: { padding: viewPadding() } };
}

function viewOf(map: MapLibreMap): Bbox {
  const bounds = map.getBounds();
  return [bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()];
}

/** The thing under the pointer, by deck.gl layer. */
function hoveredOf(info: PickingInfo, scene: SceneLoop | null): Hovered | null {
  switch (info.layer?.id) {
    case 'vehicles': {
      const id = scene?.idAt(info.index);
      return id ? { kind: 'vehicle', id } : null;
    }
    case 'incidents':
      return { kind: 'incident', id: (info.object as Incident).incident_id };
    case 'alerts':
      return { kind: 'alert', id: (info.object as Alert).alert_id };
    case 'stations':
      return { kind: 'station', id: (info.object as WeatherStation).station_id };
    case 'cameras':
      return { kind: 'camera', id: (info.object as Camera).camera_id };
    default:
      return null;
  }
}

export function CityMap({ city }: { city: City | null }) {
  const theme = useThemeName();
  const scale = useDisplayScale();
  const calm = useReducedMotion();
  const layers = useUi((ui) => ui.layers);
  const streets = useLive((live) => live.streets);
  const fences = useLive((live) => live.fences);
  const areas = useMemo(() => drawable(fences), [fences]);
  const names = useMemo(() => (streets ? joinNames(streets) : null), [streets]);
  const mapRef = useRef<MapRef>(null);
  const scene = useRef<SceneLoop | null>(null);
  const settle = useRef<ReturnType<typeof setTimeout> | null>(null);
  const [map, setMap] = useState<MapLibreMap | null>(null);

  const announceView = useCallback((instance: MapLibreMap) => {
    const view = viewOf(instance);
    setView(view);
    if (settle.current) clearTimeout(settle.current);
    settle.current = setTimeout(() => watchVehicles(padBbox(view)), SETTLE_MS);
  }, []);

  useEffect(() => {
    if (!map) return;
    const overlay = new MapboxOverlay({
      interleaved: false,
      pickingRadius: PICK_RADIUS_PX,
      // The map below it takes the keyboard; a second stop without a name would only confuse.
      onLoad: () => {
        const canvas = map.getContainer().querySelector<HTMLCanvasElement>('#deckgl-overlay');
        if (canvas) canvas.tabIndex = -1;
      },
      onClick: (info) => {
        const hit = hoveredOf(info, scene.current);
        if (hit?.kind === 'vehicle' || hit?.kind === 'incident' || hit?.kind === 'alert')
          useUi.getState().select({ kind: hit.kind, id: hit.id });
        else useUi.getState().select(null);
      },
      onHover: (info) => {
        const hit = hoveredOf(info, scene.current);
        map.getCanvas().style.cursor = hit ? 'pointer' : '';
        if (hit) hover(hit, info.x, info.y);
        else hoverStreet(map, info.x, info.y);
      },
    });
    map.addControl(overlay);
    const loop = new SceneLoop(map, overlay, { theme: 'dark', scale: 1, calm: false });
    scene.current = loop;
    loop.start();
    window.__citypulse = {
      vehicles: () => loop.fleet.length,
      fps: () => loop.fps,
      state: () => useLive.getState().connection.phase,
    };
    registerMap(map);
    const unfollow = followCongestion(map);
    announceView(map);
    return () => {
      unfollow();
      registerMap(null);
      loop.stop();
      scene.current = null;
      map.removeControl(overlay);
    };
  }, [map, announceView]);

  useEffect(() => {
    if (map) scene.current?.setOptions({ theme, scale, calm });
  }, [map, theme, scale, calm]);

  return (
    <MapView
      ref={mapRef}
      hash="map"
      initialViewState={city ? firstView(city) : { zoom: 1 }}
      mapStyle={EMPTY_STYLE}
      attributionControl={false}
      maxPitch={60}
      renderWorldCopies={false}
      minZoom={2}
      maxZoom={19.5}
      fadeDuration={calm ? 0 : 150}
      onLoad={(event) => setMap(event.target)}
      onMoveStart={() => hover(null)}
      onDragStart={() => useUi.getState().follow(false)}
      onMoveEnd={(event: ViewStateChangeEvent) => announceView(event.target)}
      onMouseOut={(_: MapLayerMouseEvent) => hover(null)}
      style={{ position: 'absolute', inset: 0 }}
    >
      <Source id={STREETS_SOURCE} type="geojson" data={streets ?? NO_STREETS} promoteId="id" tolerance={0.3}>
        {streetLayers(theme, scale).map((layer) => (
          <Layer key={layer.id} {...layer} />
        ))}
        {congestionLayers(theme, scale, layers.congestion).map((layer) => (
          <Layer key={layer.id} {...layer} />
        ))}
      </Source>
      <Source id={FENCES_SOURCE} type="geojson" data={areas} promoteId="id">
        {fenceLayers(theme, scale, layers.fences).map((layer) => (
          <Layer key={layer.id} {...layer} />
        ))}
      </Source>
      <Source id={NAMES_SOURCE} type="geojson" data={names ?? NO_STREETS}>
        <Layer {...nameLayer(theme, scale, layers.labels)} />
      </Source>
    </MapView>
  );
}

/** The street under the pointer, else the fence: wide enough a box that thin lines can be hit. */
function hoverStreet(map: MapLibreMap, x: number, y: number): void {
  if (!map.getLayer('congestion') || x < 0) {
    hover(null);
    return;
  }
  const hits = map.queryRenderedFeatures(
    [
      [x - 3, y - 3],
      [x + 3, y + 3],
    ],
    { layers: ['street-motorway', 'street-main', 'street-secondary', 'street-tertiary', 'street-local'] },
  );
  const id = hits[0]?.properties.id;
  if (id) {
    hover({ kind: 'street', id: String(id) }, x, y);
    return;
  }
  const [fence] = map.queryRenderedFeatures([x, y], { layers: [FENCE_AREAS] });
  hover(fence?.id !== undefined ? { kind: 'fence', id: String(fence.id) } : null, x, y);
}
