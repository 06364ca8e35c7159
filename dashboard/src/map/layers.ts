import type { Layer } from '@deck.gl/core';
import { IconLayer, PathLayer, ScatterplotLayer, TextLayer } from '@deck.gl/layers';
import type { Alert, Camera, Incident, TrailPoint, WeatherStation } from '../api/types';
import { formatNumber } from '../format/number';
import type { LayerName } from '../state/ui';
import { SEVERITY_SIZE_PX, type Severity, severityColor, type ThemeName, toSeverity } from '../theme/scales';
import type { FleetBuffers } from './fleet-buffers';
import type { Atlas } from './icons';
import { PALETTES } from './palette';

/** All that is drawn above the streets. `buildLayers` is a pure function of it. */
export interface Scene {
  fleet: FleetBuffers;
  incidents: readonly Incident[];
  /** Share 0..1 of the present pulse, by incident, for those that pulse. */
  pulses: readonly { incident: Incident; share: number }[];
  alerts: readonly Alert[];
  stations: readonly WeatherStation[];
  cameras: readonly Camera[];
  visible: Record<LayerName, boolean>;
  theme: ThemeName;
  zoom: number;
  /** 1 on a desk screen, 2 on a wall of 3840 px. */
  scale: number;
  vehicleIcons: Atlas;
  incidentIcons: Atlas;
  /** Where the selected thing is drawn. */
  selected: { lon: number; lat: number } | null;
  /** The selected vehicle's way, oldest first, its drawn position last. */
  trail: readonly Pick<TrailPoint, 'longitude' | 'latitude'>[];
}

/** The worse, the stronger the ring. */
const ALERT_LINE_PX: Record<Severity, number> = { critical: 3.5, high: 2.75, medium: 2, low: 1.25 };

/** What a vehicle measures on screen in pixels: readable over a city, car-sized in a street. */
export function vehicleSizePx(zoom: number, count = 0): number {
  const share = Math.min(1, Math.max(0, (zoom - 10) / 7));
  // Thousands in one view would melt into a blot: they shrink, to 60 % at most.
  const crowd = Math.min(1, Math.max(0.6, Math.sqrt(900 / Math.max(1, count))));
  return (9.5 + share * 18.5) * (crowd + (1 - crowd) * share);
}

export function buildLayers(scene: Scene): Layer[] {
  const layers: (Layer | null)[] = [
    scene.visible.cameras ? cameraLayer(scene) : null,
    trailLayer(scene),
    ...(scene.visible.vehicles ? vehicleLayers(scene) : []),
    scene.visible.weather ? stationLayer(scene) : null,
    scene.visible.alerts ? alertLayer(scene) : null,
    ...(scene.visible.incidents ? incidentLayers(scene) : []),
    selectionLayer(scene),
  ];
  return layers.filter((layer) => layer !== null);
}

function vehicleLayers({ fleet, vehicleIcons, zoom, scale }: Scene): Layer[] {
  const n = fleet.length;
  const size = vehicleSizePx(zoom, n) * scale;
  // Fresh views every frame: deck.gl uploads an array only when it is another object.
  const attributes = {
    getPosition: { value: fleet.positions.subarray(0, n * 3), size: 3 },
    getAngle: { value: fleet.angles.subarray(0, n), size: 1 },
  };
  const shared = {
    iconAtlas: vehicleIcons.image as unknown as string,
    iconMapping: vehicleIcons.mapping,
    // Lying on the map, so that headings stay true when the map is turned.
    billboard: false,
    sizeUnits: 'pixels' as const,
    getSize: size,
    alphaCutoff: 0.01,
  };
  const icon = (standing: string, moving: string) => (_: unknown, info: { index: number }) =>
    fleet.standing[info.index] ? standing : moving;
  return [
    new IconLayer({
      ...shared,
      id: 'vehicle-halos',
      data: {
        length: n,
        attributes: { ...attributes, getColor: { value: fleet.halos.subarray(0, n * 4), size: 4 } },
      },
      getIcon: icon('dotHalo', 'arrowHalo'),
    }),
    new IconLayer({
      ...shared,
      id: 'vehicles',
      data: {
        length: n,
        attributes: { ...attributes, getColor: { value: fleet.colors.subarray(0, n * 4), size: 4 } },
      },
      getIcon: icon('dot', 'arrow'),
      pickable: true,
    }),
  ];
}

function incidentLayers({ incidents, pulses, incidentIcons, theme, scale }: Scene): Layer[] {
  return [
    new ScatterplotLayer({
      id: 'incident-pulses',
      data: pulses,
      radiusUnits: 'pixels',
      lineWidthUnits: 'pixels',
      filled: false,
      stroked: true,
      getPosition: ({ incident }) => [incident.longitude, incident.latitude],
      getRadius: ({ share }) => (12 + share * 46) * scale,
      getLineWidth: ({ share }) => (4 - 3 * share) * scale,
      getLineColor: ({ incident, share }) => [
        ...severityColor(toSeverity(incident.severity), theme),
        255 * (1 - share) ** 1.5,
      ],
    }),
    new IconLayer({
      id: 'incidents',
      data: incidents,
      iconAtlas: incidentIcons.image as unknown as string,
      iconMapping: incidentIcons.mapping,
      getIcon: (incident: Incident) => toSeverity(incident.severity),
      getPosition: (incident: Incident) => [incident.longitude, incident.latitude],
      getSize: (incident: Incident) => SEVERITY_SIZE_PX[toSeverity(incident.severity)] * scale,
      pickable: true,
      updateTriggers: { getSize: scale },
    }),
  ];
}

/** Alerts that have a place: an open ring around it, so that what it is about stays seen. */
export const placed = (alerts: readonly Alert[]) =>
  alerts.filter((alert) => alert.latitude !== undefined && alert.longitude !== undefined);

const ACKNOWLEDGED_ALPHA = 90;

function alertLayer({ alerts, theme, zoom, scale }: Scene): Layer {
  return new ScatterplotLayer({
    id: 'alerts',
    data: placed(alerts),
    filled: true,
    stroked: true,
    radiusUnits: 'pixels',
    lineWidthUnits: 'pixels',
    getPosition: (alert: Alert) => [alert.longitude ?? 0, alert.latitude ?? 0],
    getRadius: (vehicleSizePx(zoom) * 0.6 + 5) * scale,
    getLineWidth: (alert: Alert) => ALERT_LINE_PX[toSeverity(alert.severity)] * scale,
    getLineColor: (alert: Alert) => [
      ...severityColor(toSeverity(alert.severity), theme),
      alert.status === 'acknowledged' ? ACKNOWLEDGED_ALPHA : 255,
    ],
    // Nearly nothing, but a pointer inside the ring hits it.
    getFillColor: (alert: Alert) => [...severityColor(toSeverity(alert.severity), theme), 22],
    pickable: true,
    updateTriggers: { getLineColor: theme, getFillColor: theme, getLineWidth: scale },
  });
}

function cameraLayer({ cameras, vehicleIcons, theme, zoom, scale }: Scene): Layer {
  return new IconLayer({
    id: 'cameras',
    data: cameras,
    iconAtlas: vehicleIcons.image as unknown as string,
    iconMapping: vehicleIcons.mapping,
    billboard: false,
    getIcon: () => 'camera',
    getPosition: (camera: Camera) => [camera.longitude, camera.latitude],
    getAngle: (camera: Camera) => -(camera.direction ?? 0),
    getColor: [...PALETTES[theme].quiet, 190],
    getSize: vehicleSizePx(zoom) * 1.15 * scale,
    pickable: true,
    updateTriggers: { getColor: theme },
  });
}

function stationLayer({ stations, theme, scale }: Scene): Layer {
  const palette = PALETTES[theme];
  return new TextLayer({
    id: 'stations',
    data: stations,
    getPosition: (station: WeatherStation) => [station.longitude, station.latitude],
    getText: (station: WeatherStation) => `${formatNumber(station.temperature, 1)}°`,
    characterSet: '0123456789.°\u2212–',
    fontFamily: '"Inter Variable", sans-serif',
    fontWeight: 500,
    fontSettings: { sdf: false, fontSize: 48 },
    getSize: 12 * scale,
    getColor: [...palette.quiet, 255],
    background: true,
    getBackgroundColor: palette.chip,
    backgroundPadding: [6 * scale, 3 * scale],
    backgroundBorderRadius: 6 * scale,
    pickable: true,
    updateTriggers: { getColor: theme, getBackgroundColor: theme },
  });
}

function trailLayer({ trail, theme, scale }: Scene): Layer | null {
  if (trail.length < 2) return null;
  const path = trail.map((point) => [point.longitude, point.latitude]);
  const [red, green, blue] = PALETTES[theme].trail;
  // Older parts fade: the way reads as a direction.
  const colors = path.map((_, i) => [red, green, blue, 20 + (190 * i) / (path.length - 1)]);
  return new PathLayer({
    id: 'trail',
    data: [{ path, colors }],
    getPath: (line: { path: number[][] }) => line.path as [number, number][],
    getColor: (line: { colors: number[][] }) => line.colors as unknown as [number, number, number, number],
    getWidth: 4 * scale,
    widthUnits: 'pixels',
    capRounded: true,
    jointRounded: true,
  });
}

function selectionLayer({ selected, theme, zoom, scale }: Scene): Layer | null {
  if (!selected) return null;
  return new ScatterplotLayer({
    id: 'selection',
    data: [selected],
    filled: false,
    stroked: true,
    radiusUnits: 'pixels',
    lineWidthUnits: 'pixels',
    getPosition: (at: { lon: number; lat: number }) => [at.lon, at.lat],
    getRadius: (vehicleSizePx(zoom) * 0.7 + 8) * scale,
    getLineWidth: 2 * scale,
    getLineColor: [...PALETTES[theme].accent, 255],
  });
}
