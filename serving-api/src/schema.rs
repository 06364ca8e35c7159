//! The JSON shapes of the answers, as described in `/openapi.json`.
//!
//! Live values come ready-made from the hot store; these types say what is in
//! them, for people, clients and tests. More fields may follow.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A vehicle's newest position by event time.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "vehicle_id": "bus-0007", "latitude": 57.7067, "longitude": 11.9668, "speed": 31.5, "direction": 84.0,
    "timestamp": "2026-03-01T08:15:00Z", "stream": "gps_data", "vehicle_type": "bus", "road_id": "w4040302-3"
}))]
pub struct VehicleLocation {
    /// The device's id.
    pub vehicle_id: String,
    /// Degrees WGS 84.
    pub latitude: f64,
    /// Degrees WGS 84.
    pub longitude: f64,
    /// km/h.
    pub speed: Option<f64>,
    /// Degrees clockwise from north.
    pub direction: Option<f64>,
    /// When it was there.
    pub timestamp: String,
    /// `vehicle_data` or `gps_data`.
    pub stream: Option<String>,
    /// Taxi, bus, ...
    pub vehicle_type: Option<String>,
    /// Manufacturer.
    pub make: Option<String>,
    /// Model name.
    pub model: Option<String>,
    /// The street segment it is on.
    pub road_id: Option<String>,
    /// Taxis: with a passenger.
    pub occupied: Option<bool>,
    /// Transit: the route it runs on.
    pub route_id: Option<String>,
    /// moving, stopped or silent.
    pub state: Option<String>,
    /// When it moved last, as far as was seen.
    pub last_moved: Option<String>,
    /// When the trip that it is on began; absent while it is on none.
    pub trip_started_at: Option<String>,
    /// Its last trip that is over: it stood for five minutes, or has fallen silent.
    pub last_trip: Option<Trip>,
    /// Metres driven on the UTC day of `timestamp`.
    pub distance_today_m: Option<f64>,
    /// Fixes that were kept off the map; absent where all were good.
    pub bad_fixes: Option<BadFixes>,
}

/// From setting off to the last movement.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Trip {
    /// The first movement.
    pub started_at: String,
    /// The last one.
    pub ended_at: String,
}

/// Fixes of one device that were not believed. They do not move it, nor keep it alive.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"count": 3, "reason": "teleport", "timestamp": "2026-03-01T08:14:55Z"}))]
pub struct BadFixes {
    /// How many, since the device was first heard of or was silent for a day.
    pub count: u32,
    /// What was wrong with the last one: `null_island` (at 0, 0), `inaccurate` or `teleport`.
    pub reason: String,
    /// When the last one says it was.
    pub timestamp: String,
}

/// One position of a trail.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TrailPoint {
    /// Degrees WGS 84.
    pub latitude: f64,
    /// Degrees WGS 84.
    pub longitude: f64,
    /// km/h.
    pub speed: Option<f64>,
    /// When it was there.
    pub timestamp: String,
}

/// A vehicle with where it came from.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VehicleWithTrail {
    /// Its newest position.
    #[serde(flatten)]
    pub vehicle: VehicleLocation,
    /// Its last 20 positions at most, the newest last.
    pub trail: Vec<TrailPoint>,
}

/// An incident that is not resolved yet.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "incident_id": "inc-000042", "incident_type": "Accident", "latitude": 57.7, "longitude": 11.97,
    "severity": "High", "status": "Dispatched", "description": "Two cars, one lane blocked",
    "units": ["ambulance-0002"], "started_at": "2026-03-01T08:02:10Z", "timestamp": "2026-03-01T08:15:00Z"
}))]
pub struct IncidentState {
    /// The incident's id.
    pub incident_id: String,
    /// Accident, Fire, Medical, ...
    pub incident_type: String,
    /// Degrees WGS 84.
    pub latitude: f64,
    /// Degrees WGS 84.
    pub longitude: f64,
    /// Critical, High, Medium, Low.
    pub severity: String,
    /// Active, Dispatched, OnScene.
    pub status: String,
    /// In words.
    pub description: Option<String>,
    /// Who attends.
    #[serde(default)]
    pub units: Vec<String>,
    /// When it began.
    pub started_at: Option<String>,
    /// The street segment it is on.
    pub road_id: Option<String>,
    /// When this was so.
    pub timestamp: String,
}

/// Traffic on one street segment in the last minute.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "road_id": "w4040302-3", "road_name": "Vasagatan", "average_speed": 18.2, "free_flow_speed": 50.0,
    "vehicle_count": 7, "congestion_level": "heavy", "latitude": 57.699, "longitude": 11.963,
    "timestamp": "2026-03-01T08:15:00Z"
}))]
pub struct RoadTraffic {
    /// The segment's id, as in `/api/streets.geojson`.
    pub road_id: String,
    /// The street's name.
    pub road_name: Option<String>,
    /// km/h.
    pub average_speed: f64,
    /// km/h on an empty street.
    pub free_flow_speed: Option<f64>,
    /// Vehicles seen in that minute.
    pub vehicle_count: u64,
    /// light, moderate, heavy or severe.
    pub congestion_level: String,
    /// Degrees WGS 84, the segment's middle.
    pub latitude: Option<f64>,
    /// Degrees WGS 84.
    pub longitude: Option<f64>,
    /// When this was so.
    pub timestamp: String,
}

/// The city's weather.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "temperature": 6.4, "humidity": 81.0, "condition": "Rain", "wind_speed": 22.0, "visibility": 8.5,
    "precipitation": 1.2, "air_quality_index": 38.0, "timestamp": "2026-03-01T08:15:00Z"
}))]
pub struct CurrentWeather {
    /// Degrees Celsius.
    pub temperature: Option<f64>,
    /// Percent.
    pub humidity: Option<f64>,
    /// Clear, Rain, Snow, Fog, ...
    pub condition: Option<String>,
    /// km/h.
    pub wind_speed: Option<f64>,
    /// km.
    pub visibility: Option<f64>,
    /// mm/h.
    pub precipitation: Option<f64>,
    /// 0 to 500.
    pub air_quality_index: Option<f64>,
    /// When this was so.
    pub timestamp: String,
}

/// Weather and air at one station.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WeatherStation {
    /// The station's device id.
    pub station_id: String,
    /// Degrees WGS 84.
    pub latitude: f64,
    /// Degrees WGS 84.
    pub longitude: f64,
    /// Fine dust, ug/m3.
    pub pm25: Option<f64>,
    /// What it measures, as for the city.
    #[serde(flatten)]
    pub weather: CurrentWeather,
}

/// What a traffic camera saw last.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CameraState {
    /// The camera's id.
    pub camera_id: String,
    /// Degrees WGS 84.
    pub latitude: f64,
    /// Degrees WGS 84.
    pub longitude: f64,
    /// Where it looks, degrees clockwise from north.
    pub direction: Option<f64>,
    /// Mean speed of the vehicles seen, km/h.
    pub speed: Option<f64>,
    /// Vehicles seen.
    pub vehicle_count: Option<u64>,
    /// Reference of the picture.
    pub snapshot: Option<String>,
    /// When it saw this.
    pub timestamp: String,
}

/// Street segments by how congested they are.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CongestionCounts {
    /// Close to free flow.
    pub light: u64,
    /// Slowed.
    pub moderate: u64,
    /// Slow.
    pub heavy: u64,
    /// Standing.
    pub severe: u64,
}

/// The city's figures.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CitySummary {
    /// Vehicles with a live position.
    pub total_vehicles: u64,
    /// Incidents not resolved yet.
    pub active_emergencies: u64,
    /// km/h, the mean over the vehicles.
    pub average_city_speed: f64,
    /// Street segments with heavy or severe congestion.
    pub congested_roads: u64,
    /// When this was so.
    pub timestamp: String,
    /// Events taken in per second.
    pub events_per_second: f64,
    /// Vehicles that move.
    pub moving_vehicles: u64,
    /// Weather stations heard.
    pub stations: u64,
    /// Cameras heard.
    pub cameras: u64,
    /// Street segments by congestion.
    pub congestion: CongestionCounts,
}

/// The city on the map.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CityInfo {
    /// Its name.
    pub name: String,
    /// `[longitude, latitude]`.
    pub center: [f64; 2],
    /// `[west, south, east, north]`.
    pub bounds: [f64; 4],
    /// To be shown with the streets: their licence asks for it.
    pub attribution: String,
    /// How many street segments.
    pub roads: usize,
    /// The program's version.
    pub version: String,
}

/// `GET /` for programs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServiceInfo {
    /// The service's name.
    pub service: String,
    /// `operational`.
    pub status: String,
    /// Now.
    pub timestamp: String,
    /// Whether the hot store answers.
    pub redis_healthy: bool,
    /// The program's version.
    pub version: String,
}

/// How one component does.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ComponentHealth {
    /// `starting`, `ready` or `degraded`.
    pub status: String,
    /// Why it is degraded and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Open WebSockets.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WebSocketHealth {
    /// How many are open.
    pub active_connections: usize,
}

/// The parts of `/api/health`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HealthComponents {
    /// The hot store, Redis or embedded.
    pub redis: crate::probe::LinkState,
    /// The event log, Kafka or embedded.
    pub event_log: crate::probe::LinkState,
    /// Open WebSockets.
    pub websockets: WebSocketHealth,
    /// Every other component by name.
    #[serde(flatten)]
    pub others: BTreeMap<String, ComponentHealth>,
}

/// `GET /api/health`
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HealthReport {
    /// The service's name.
    pub service: String,
    /// `healthy`, or `degraded` when a component is not ready.
    pub status: String,
    /// By component.
    pub components: HealthComponents,
    /// Now.
    pub timestamp: String,
}

/// How many live values there are.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DataPoints {
    /// Vehicles.
    pub vehicles: usize,
    /// Incidents.
    pub emergencies: usize,
    /// Street segments with traffic.
    pub traffic_conditions: usize,
}

/// The interface's own state.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiStatus {
    /// Open WebSockets.
    pub websocket_connections: usize,
    /// Whether the hot store answers.
    pub redis_healthy: bool,
}

/// `GET /api/stats`
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// Live values.
    pub data_points: DataPoints,
    /// The interface's own state.
    pub api_status: ApiStatus,
    /// Now.
    pub timestamp: String,
}

/// How far one layer is in one partition of the log.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LayerLag {
    /// `speed` or `batch`.
    pub layer: String,
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The offset that the layer reads next.
    pub position: i64,
    /// For how long that has not been looked up because the hot store does not answer, seconds; 0 while it does.
    pub position_age_s: f64,
    /// The offset that the next event will get.
    pub end: i64,
    /// Events that the layer has still to do.
    pub lag_events: i64,
    /// For how long the oldest of them has been waiting, to a few seconds; 0 where there are none, null while it is not known.
    pub lag_seconds: Option<f64>,
}

/// One event that was not accepted.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"line": 17, "detail": "field \"speed\": got -3, expected a number of km/h from 0 to 2000"}))]
pub struct LineError {
    /// The line of NDJSON, or the element of an array, from 1.
    pub line: u64,
    /// Field, value and what was expected.
    pub detail: String,
}

/// `POST /api/ingest/{topic}`
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct IngestReport {
    /// Events that are durable in the log.
    pub accepted: u64,
    /// Events that are not, each for the reason given.
    pub rejected: u64,
    /// The first 100 reasons.
    pub errors: Vec<LineError>,
    /// Rejected events beyond the first 100, whose reasons are left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub errors_omitted: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// `POST /api/sql`
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"sql": "SELECT count(*) AS events FROM vehicle_data", "format": "json"}))]
pub struct SqlRequest {
    /// One read-only statement.
    pub sql: String,
    /// `json` (the default), `csv`, `ndjson`, `arrow` (IPC stream) or `parquet`. Without it, the `Accept` header decides.
    pub format: Option<String>,
    /// `exact` (the default): with every event acknowledged before the query; `relaxed`: what is there, at once.
    pub freshness: Option<String>,
}

/// A column of an SQL answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SqlColumn {
    /// Its name, unique within the answer.
    pub name: String,
    /// `bigint`, `double`, `text`, `boolean`, `timestamptz`, `date`, ...
    #[serde(rename = "type")]
    pub kind: String,
}

/// An SQL answer as JSON.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SqlAnswer {
    /// In the order of the statement.
    pub columns: Vec<SqlColumn>,
    /// One object per row.
    #[schema(value_type = Vec<Object>)]
    pub rows: Vec<serde_json::Map<String, serde_json::Value>>,
    /// How many rows.
    pub row_count: u64,
    /// From the request's arrival to the last row.
    pub elapsed_ms: f64,
}

/// An alert of the last day.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "alert_id": "0b6fd2a6-4c0e-5f0c-9a55-7d3b6c1f0001", "rule": "overspeed", "subject": "taxi-0007",
    "severity": "Medium", "status": "raised", "value": 71.5, "threshold": 60.0, "latitude": 57.7,
    "longitude": 11.97, "started_at": "2026-03-01T08:14:50Z", "timestamp": "2026-03-01T08:15:00Z",
    "message": "taxi-0007 drives 71.5 km/h, more than 60 km/h"
}))]
pub struct Alert {
    /// The same through its life.
    pub alert_id: String,
    /// The rule's id.
    pub rule: String,
    /// The device, station, incident, segment, cell or `fence:device`.
    pub subject: String,
    /// Critical, High, Medium, Low.
    pub severity: String,
    /// raised, updated, acknowledged, cleared.
    pub status: String,
    /// The measured value.
    pub value: Option<f64>,
    /// What it was compared with.
    pub threshold: Option<f64>,
    /// Degrees WGS 84, where it has a place.
    pub latitude: Option<f64>,
    /// Degrees WGS 84.
    pub longitude: Option<f64>,
    /// When the condition began.
    pub started_at: String,
    /// When the last step happened, by the events' clocks.
    pub timestamp: String,
    /// For people.
    pub message: String,
    /// The incidents that were merged.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Who has seen it.
    pub acknowledged_by: Option<String>,
    /// When.
    pub acknowledged_at: Option<String>,
    /// What they said about it.
    pub note: Option<String>,
}

/// A fence as people write it; `shape` is one of
/// `{"type":"polygon","coordinates":[[[lon,lat],...]]}` (outline, then holes),
/// `{"type":"multi_polygon","coordinates":[...]}`,
/// `{"type":"circle","center":[lon,lat],"radius_m":250}`,
/// `{"type":"corridor","line":[[lon,lat],...],"width_m":40}` and
/// `{"type":"around","device_id":"bus-17","radius_m":100}`, which goes with a vehicle.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "id": "harbour", "name": "Harbour",
    "shape": {"type": "circle", "center": [11.966, 57.708], "radius_m": 250},
    "vehicle_types": ["taxi", "bus"], "dwell_s": 300,
    "schedule": {"zone": "Europe/Stockholm",
        "intervals": [{"days": ["fri", "sat"], "from": "22:00", "to": "05:00"}]},
    "enabled": true, "author": "eva", "updated_at": "2026-03-01T08:15:00Z"
}))]
pub struct FenceDocument {
    /// Letters, digits, `.`, `_`, `-` and `:`; made by the server where it is not given.
    pub id: Option<String>,
    /// For people, 1 to 200 characters.
    pub name: String,
    /// Where it is.
    pub shape: serde_json::Value,
    /// Only vehicles of these types; none: all.
    pub vehicle_types: Option<Vec<String>>,
    /// Only at these times of the week: a zone and intervals of days, from, to.
    pub schedule: Option<serde_json::Value>,
    /// Seconds inside after which a vehicle dwells, 1 to 604800.
    pub dwell_s: Option<u32>,
    /// Whether it is watched; true where it is not given.
    pub enabled: Option<bool>,
    /// Anything else, at most 8 KiB.
    pub properties: Option<serde_json::Value>,
    /// Who writes it, as they say.
    pub author: Option<String>,
    /// When it was written; set by the server.
    pub updated_at: Option<String>,
}

/// A page of fences, by id.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FencePage {
    /// The fences.
    pub fences: Vec<FenceDocument>,
    /// How many there are in all.
    pub total: usize,
    /// To be given as `after` for the next page; null on the last.
    pub next: Option<String>,
}

/// What an import added.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FencesImported {
    /// How many fences were written.
    pub imported: usize,
    /// Their ids, in the order of the features.
    pub ids: Vec<String>,
}

/// The vehicles inside a fence now.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VehiclesInside {
    /// The fence.
    pub fence_id: String,
    /// Where they are, the last changed first.
    pub vehicles: Vec<VehicleLocation>,
}
