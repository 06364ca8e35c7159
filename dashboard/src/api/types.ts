/**
 * Shapes of the HTTP and WebSocket API, as the server sends them.
 *
 * Positions are degrees WGS 84, speeds km/h, directions degrees clockwise from north,
 * timestamps RFC 3339 text. Fields marked optional may be missing for a stream that
 * does not carry them.
 */

/** `[west, south, east, north]` in degrees. */
export type Bbox = readonly [west: number, south: number, east: number, north: number];

export interface City {
  name: string;
  center: [lon: number, lat: number];
  bounds: [number, number, number, number];
  attribution?: string;
  roads?: number;
  version?: string;
}

interface Placed {
  latitude: number;
  longitude: number;
  timestamp: string;
}

export interface Vehicle extends Placed {
  vehicle_id: string;
  speed?: number | null;
  direction?: number | null;
  stream?: string;
  vehicle_type?: string | null;
  make?: string | null;
  model?: string | null;
  year?: number | null;
  fuel_type?: string | null;
  road_id?: string | null;
  occupied?: boolean | null;
  route_id?: string | null;
  /** When the trip that it is on began. */
  trip_started_at?: string | null;
  /** The last one that is over. */
  last_trip?: { started_at: string; ended_at: string } | null;
  /** Fixes that were kept off the map: how many, and of the last one why and when. */
  bad_fixes?: { count: number; reason: string; timestamp: string } | null;
}

export interface TrailPoint {
  latitude: number;
  longitude: number;
  speed?: number | null;
  timestamp: string;
}

export interface VehicleWithTrail extends Vehicle {
  /** At most 20 fixes, newest last. */
  trail: TrailPoint[];
}

export interface Incident extends Placed {
  incident_id: string;
  incident_type: string;
  severity: string;
  status: string;
  description?: string | null;
  units?: string[] | null;
  started_at?: string | null;
  road_id?: string | null;
}

/** What a rule found, from raised to cleared. */
export interface Alert {
  alert_id: string;
  rule: string;
  subject: string;
  severity: string;
  /** raised, updated, acknowledged, cleared */
  status: string;
  value?: number | null;
  threshold?: number | null;
  /** Not every alert has a place. */
  latitude?: number;
  longitude?: number;
  started_at: string;
  timestamp: string;
  message: string;
  sources?: string[];
  acknowledged_by?: string;
  note?: string | null;
}

export interface RoadTraffic {
  road_id: string;
  road_name?: string | null;
  average_speed: number;
  free_flow_speed?: number | null;
  vehicle_count: number;
  congestion_level: string;
  latitude?: number;
  longitude?: number;
  timestamp: string;
}

export interface WeatherStation extends Placed {
  station_id: string;
  temperature?: number | null;
  humidity?: number | null;
  condition?: string | null;
  wind_speed?: number | null;
  visibility?: number | null;
  precipitation?: number | null;
  air_quality_index?: number | null;
  pm25?: number | null;
}

export interface Camera extends Placed {
  camera_id: string;
  direction?: number | null;
  speed?: number | null;
  vehicle_count?: number | null;
  snapshot?: string | null;
}

export interface CitySummary {
  total_vehicles: number;
  active_emergencies: number;
  average_city_speed: number | null;
  congested_roads: number;
  timestamp: string;
  events_per_second?: number | null;
  moving_vehicles?: number | null;
  stations?: number | null;
  cameras?: number | null;
  congestion?: Partial<Record<CongestionLevel, number>> | null;
}

/** How far one layer is behind one partition of the log. */
export interface LayerLag {
  layer: string;
  topic: string;
  partition: number;
  /** How long the layer's position has not been looked up, s: what waits may be more or less by now. */
  position_age_s?: number;
  lag_events: number;
  /** How long the oldest event has been waiting; null while that is not known. */
  lag_seconds?: number | null;
}

/** What was measured in one window of event time. */
export interface WindowFigures {
  key: string;
  window_start: string;
  window_end: string;
  count: number;
  mean: number;
  /** False while values may still come in. */
  final: boolean;
}

export interface Windows {
  windows: WindowFigures[];
}

export type CongestionLevel = 'light' | 'moderate' | 'heavy' | 'severe';

export interface StreetProperties {
  id: string;
  name: string | null;
  class: string;
  limit_kmh?: number | null;
}

export type Streets = GeoJSON.FeatureCollection<GeoJSON.LineString, StreetProperties>;

/** Geofences as the areas that they cover; one around a vehicle that is not on the map has none. */
export type Fences = GeoJSON.FeatureCollection<GeoJSON.Geometry | null, { name?: string; shape?: string }>;

/** What a subscription can be made to. */
export type Channel = 'vehicles' | 'emergencies' | 'traffic' | 'weather' | 'alerts' | 'city';
