import type { Alert, Camera, Fences, Incident, RoadTraffic, Vehicle, WeatherStation } from '../api/types';
import { formatAge, parseTime } from '../format/age';
import { formatHeading, formatNumber, humanize } from '../format/number';
import { type Hovered, useHover } from '../map/hover';
import { vehicles } from '../state/fleet';
import { useLive } from '../state/live';
import { streetName, streetsById, traffic } from '../state/roads';
import styles from './HoverCard.module.css';
import { startOf } from './IncidentsPanel';
import { useNow } from './use-now';
import { vehicleKind } from './VehiclePanel';

interface CardText {
  title: string;
  lines: string[];
  foot: string;
}

const vehicleText = (vehicle: Vehicle, now_ms: number): CardText => ({
  title: `${formatNumber(vehicle.speed)} km/h · ${formatHeading(vehicle.direction)}`,
  lines: [vehicleKind(vehicle), streetName(vehicle.road_id) ?? ''],
  foot: `${vehicle.vehicle_id} · as reported ${formatAge(parseTime(vehicle.timestamp), now_ms)}`,
});

const incidentText = (incident: Incident, now_ms: number): CardText => ({
  title: `${humanize(incident.incident_type)} · ${humanize(incident.severity)}`,
  lines: [
    streetName(incident.road_id) ?? '',
    incident.description ?? '',
    `${humanize(incident.status)}${incident.units?.length ? `, ${incident.units.join(', ')}` : ''}`,
  ],
  foot: `Began ${formatAge(startOf(incident), now_ms)}`,
});

const alertText = (alert: Alert, now_ms: number): CardText => ({
  title: `${humanize(alert.rule)} · ${humanize(alert.severity)}`,
  lines: [
    alert.message,
    `Measured ${formatNumber(alert.value, 1)}, threshold ${formatNumber(alert.threshold, 1)}`,
    alert.acknowledged_by ? `Seen by ${alert.acknowledged_by}` : '',
  ],
  foot: `${alert.subject} · began ${formatAge(parseTime(alert.started_at), now_ms)}`,
});

const stationText = (station: WeatherStation, now_ms: number): CardText => ({
  title: `${formatNumber(station.temperature, 1)} °C · ${humanize(station.condition)}`,
  lines: [
    `Wind ${formatNumber(station.wind_speed)} km/h, humidity ${formatNumber(station.humidity)} %`,
    `Rain ${formatNumber(station.precipitation, 1)} mm/h, visibility ${formatNumber(station.visibility, 1)} km`,
    `Air quality index ${formatNumber(station.air_quality_index)}, PM2.5 ${formatNumber(station.pm25, 1)} µg/m³`,
  ],
  foot: `${station.station_id} · measured ${formatAge(parseTime(station.timestamp), now_ms)}`,
});

const cameraText = (camera: Camera, now_ms: number): CardText => ({
  title: `${formatNumber(camera.vehicle_count)} vehicles · ${formatNumber(camera.speed)} km/h`,
  lines: [`Looks ${formatHeading(camera.direction)}; mean speed of the vehicles seen`],
  foot: `${camera.camera_id} · seen ${formatAge(parseTime(camera.timestamp), now_ms)}`,
});

const fenceText = ({ id, properties }: Fences['features'][number]): CardText => ({
  title: properties.name ?? String(id),
  lines: [`Geofence, ${humanize(properties.shape ?? 'polygon')}`],
  foot: String(id),
});

function streetText(id: string, road: RoadTraffic | undefined, now_ms: number): CardText {
  const limit = streetsById.get(id)?.limit_kmh;
  const lines = road
    ? [
        `${formatNumber(road.average_speed)} km/h of ${formatNumber(road.free_flow_speed ?? limit)} km/h free flow`,
        `${humanize(road.congestion_level)} congestion, ${formatNumber(road.vehicle_count)} vehicles, mean of 1 min`,
      ]
    : ['No vehicle measured here in the last minutes'];
  return {
    title: streetName(id) ?? 'Street',
    lines: limit ? [...lines, `Limit ${limit} km/h`] : lines,
    foot: road ? `Measured ${formatAge(parseTime(road.timestamp), now_ms)}` : '',
  };
}

function textOf(hovered: Hovered, now_ms: number): CardText | null {
  const live = useLive.getState();
  switch (hovered.kind) {
    case 'vehicle': {
      const vehicle = vehicles.get(hovered.id);
      return vehicle ? vehicleText(vehicle, now_ms) : null;
    }
    case 'incident': {
      const incident = live.incidents.find((each) => each.incident_id === hovered.id);
      return incident ? incidentText(incident, now_ms) : null;
    }
    case 'alert': {
      const alert = live.alerts.find((each) => each.alert_id === hovered.id);
      return alert ? alertText(alert, now_ms) : null;
    }
    case 'station': {
      const station = live.stations.find((each) => each.station_id === hovered.id);
      return station ? stationText(station, now_ms) : null;
    }
    case 'camera': {
      const camera = live.cameras.find((each) => each.camera_id === hovered.id);
      return camera ? cameraText(camera, now_ms) : null;
    }
    case 'fence': {
      const fence = live.fences?.features.find((each) => each.id === hovered.id);
      return fence ? fenceText(fence) : null;
    }
    case 'street':
      return streetText(hovered.id, traffic.get(hovered.id), now_ms);
  }
}

/** Says what the thing under the pointer is, its units, how old, and how it was computed. */
export function HoverCard() {
  const hovered = useHover((state) => state.hovered);
  const at = useHover((state) => state.at);
  const now_ms = useNow();
  const text = hovered && textOf(hovered, now_ms);
  if (!text || !at) return null;
  const right = at.x > innerWidth * 0.6;
  const below = at.y < innerHeight * 0.3;
  return (
    <div
      className={styles.card}
      style={{
        left: at.x,
        top: at.y,
        translate: `${right ? 'calc(-100% - 0.875rem)' : '0.875rem'} ${below ? '0.875rem' : 'calc(-100% - 0.875rem)'}`,
      }}
    >
      <strong>{text.title}</strong>
      {text.lines.filter(Boolean).map((line) => (
        <p key={line}>{line}</p>
      ))}
      {text.foot && <p className={styles.foot}>{text.foot}</p>}
    </div>
  );
}
