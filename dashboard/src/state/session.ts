import { api } from '../api/client';
import { encodeSubscribe, type ServerMessage, type SubscribeRequest } from '../api/messages';
import { reduce } from '../api/reduce';
import { LiveSocket } from '../api/socket';
import type {
  Alert,
  Bbox,
  Camera,
  Channel,
  CitySummary,
  Incident,
  RoadTraffic,
  Vehicle,
  WeatherStation,
} from '../api/types';
import { contains } from '../map/bbox';
import { applyFleetChange, vehicles } from './fleet';
import { minuteSpeeds } from './history';
import { lagOf } from './lag';
import { type LiveData, useLive } from './live';
import { publishTraffic, traffic } from './roads';
import { useUi } from './ui';

/**
 * The dashboard's one conversation with the server: subscribes, applies what comes in to
 * the stores, and after a reconnect catches up.
 */

const VEHICLE_MAX_HZ = 2;
const SLOW_MAX_HZ = 1;
const CAMERA_POLL_MS = 30_000;
const LAG_POLL_MS = 5_000;
/** Fences seldom change, but those around vehicles move. */
const FENCES_POLL_MS = 5_000;
/** A poll may take this share of the time at most: there may be a hundred thousand. */
const FENCES_POLL_SHARE = 0.05;
const HISTORY_POLL_MS = 15_000;
const VIEW_COUNT_MS = 500;
/** Until people sign in, all that is known of them is where they sit. */
const ACKNOWLEDGED_BY = 'dashboard';

const incidentsById = new Map<string, Incident>();
const alertsById = new Map<string, Alert>();
const stationsById = new Map<string, WeatherStation>();

/** The last token of each channel and the box it was given for. */
const resume = new Map<Channel, { token: string; bbox: string }>();
/** Subscriptions sent and not yet confirmed: until then frames belong to the box before. */
const unconfirmed = new Map<string, number>();
/** Frames so far per channel: a REST answer that was overtaken by one is dropped. */
const frames = new Map<Channel, number>();

let socket: LiveSocket | null = null;
let vehicleBbox: Bbox | null = null;
let dataAt_ms = 0;
let fencesNext_ms = 0;
const timers: ReturnType<typeof setInterval>[] = [];

const patch = (data: Partial<LiveData>) => useLive.setState(data);

export function startSession(): void {
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  socket = new LiveSocket(`${scheme}://${location.host}/ws/realtime`, {
    onState: (connection) => patch({ connection }),
    onMessage: apply,
    onOpen: catchUp,
  });
  socket.start();
  timers.push(setInterval(() => void loadCameras(), CAMERA_POLL_MS));
  timers.push(setInterval(() => void loadLag(), LAG_POLL_MS));
  timers.push(setInterval(() => void loadFences(), FENCES_POLL_MS));
  timers.push(setInterval(() => void loadHistory(), HISTORY_POLL_MS));
  timers.push(setInterval(countInView, VIEW_COUNT_MS));
}

export function stopSession(): void {
  socket?.stop();
  socket = null;
  for (const timer of timers.splice(0)) clearInterval(timer);
}

export function retryNow(): void {
  socket?.retryNow();
}

/** Asks for the vehicles of another part of the map; the server sends only the difference. */
export function watchVehicles(bbox: Bbox): void {
  vehicleBbox = bbox;
  subscribe('vehicles');
}

export function setView(view: Bbox): void {
  patch({ view });
  countInView();
}

function subscribe(channel: Channel, token?: string): void {
  const bbox = channel === 'vehicles' ? vehicleBbox : null;
  if (channel === 'vehicles' && !bbox) return;
  const request: SubscribeRequest = {
    id: channel,
    channel,
    max_hz: channel === 'vehicles' ? VEHICLE_MAX_HZ : SLOW_MAX_HZ,
  };
  if (bbox) request.bbox = bbox;
  if (token) request.resume = token;
  unconfirmed.set(channel, (unconfirmed.get(channel) ?? 0) + 1);
  socket?.send(encodeSubscribe(request));
}

/** The token to resume with. It stands for one box: with another, the new part would be missing. */
function tokenFor(channel: Channel): string | undefined {
  const held = resume.get(channel);
  const bbox = channel === 'vehicles' ? vehicleBbox : null;
  return held && held.bbox === JSON.stringify(bbox) ? held.token : undefined;
}

const CHANNELS: readonly Channel[] = ['vehicles', 'emergencies', 'traffic', 'weather', 'alerts', 'city'];

/** After each connect: subscriptions by token, and by REST what no subscription carries. */
function catchUp(): void {
  patch({ everLive: true, serverError: null });
  unconfirmed.clear();
  for (const channel of CHANNELS) subscribe(channel, tokenFor(channel));
  void refetch();
}

async function refetch(): Promise<void> {
  const before = new Map(frames);
  const untouched = (channel: Channel) => frames.get(channel) === before.get(channel);
  const [summary, incidents, stations, alerts] = await Promise.allSettled([
    api.summary(),
    api.incidents(),
    api.stations(),
    api.alerts(),
    loadCameras(),
    loadLag(),
    loadFences(),
    loadHistory(),
  ]);
  if (summary.status === 'fulfilled' && untouched('city')) applySummary(summary.value);
  if (incidents.status === 'fulfilled' && untouched('emergencies')) {
    applyIncidents({ type: 'snapshot', id: 'emergencies', data: incidents.value });
  }
  if (alerts.status === 'fulfilled' && untouched('alerts')) {
    applyAlerts({ type: 'snapshot', id: 'alerts', data: alerts.value });
  }
  if (stations.status === 'fulfilled' && untouched('weather')) {
    applyStations({ type: 'snapshot', id: 'weather', data: stations.value });
  }
}

async function loadCameras(): Promise<void> {
  try {
    const cameras: Camera[] = await api.cameras();
    patch({ cameras });
  } catch {
    // The cameras shown stay; their age tells. The next poll tries again.
  }
}

async function loadLag(): Promise<void> {
  try {
    patch({ lag: lagOf(await api.lag(), Date.now()) });
  } catch {
    // A back end is away: the last figures stay, and their age tells.
  }
}

async function loadFences(): Promise<void> {
  const began_ms = performance.now();
  if (began_ms < fencesNext_ms || !useUi.getState().layers.fences) return;
  try {
    patch({ fences: await api.fences() });
  } catch {
    // The fences shown stay; the next poll tries again.
  }
  const now_ms = performance.now();
  fencesNext_ms = now_ms + (now_ms - began_ms) / FENCES_POLL_SHARE;
}

async function loadHistory(): Promise<void> {
  try {
    patch({ speedHistory: minuteSpeeds((await api.speedHistory()).windows) });
  } catch {
    // The line stays as it was; the next poll tries again.
  }
}

type DataMessage = Extract<ServerMessage, { type: 'snapshot' | 'update' }>;

function apply(message: ServerMessage): void {
  switch (message.type) {
    case 'city_analytics':
      applySummary(message.data);
      break;
    case 'snapshot':
    case 'update':
      applyData(message);
      break;
    case 'subscribed':
      unconfirmed.set(message.id, Math.max(0, (unconfirmed.get(message.id) ?? 0) - 1));
      break;
    case 'error':
      // A token the server no longer knows must not be offered again.
      if (message.id) resume.delete(message.id as Channel);
      patch({ serverError: message.detail });
      break;
    default:
      break;
  }
}

function applyData(message: DataMessage): void {
  const channel = message.id as Channel;
  frames.set(channel, (frames.get(channel) ?? 0) + 1);
  // A summary is written anew although nothing happens: it proves no life in the streets.
  if (channel !== 'city' && message.data.length > 0) dataAt_ms = Date.now();
  if (message.resume && !unconfirmed.get(channel)) {
    const bbox = channel === 'vehicles' ? vehicleBbox : null;
    resume.set(channel, { token: message.resume, bbox: JSON.stringify(bbox) });
  }
  switch (channel) {
    case 'vehicles':
      applyVehicles(message);
      break;
    case 'emergencies':
      applyIncidents(message);
      break;
    case 'traffic':
      publishTraffic(reduce<RoadTraffic>(traffic, (road) => road.road_id, message));
      break;
    case 'weather':
      applyStations(message);
      break;
    case 'alerts':
      applyAlerts(message);
      break;
    case 'city': {
      const summary = message.data.at(-1) as CitySummary | undefined;
      if (summary) applySummary(summary);
    }
  }
}

function applyVehicles(message: DataMessage): void {
  const change = reduce<Vehicle>(vehicles, (vehicle) => vehicle.vehicle_id, message);
  applyFleetChange(change, performance.now());
  if (!useLive.getState().vehiclesKnown) {
    patch({ vehiclesKnown: true });
    countInView();
  }
}

function applyIncidents(message: DataMessage): void {
  reduce<Incident>(incidentsById, (incident) => incident.incident_id, message);
  const incidents = [...incidentsById.values()].filter(
    (incident) => incident.status.toLowerCase() !== 'resolved',
  );
  patch({ incidents, incidentsKnown: true });
}

function applyAlerts(message: DataMessage): void {
  reduce<Alert>(alertsById, (alert) => alert.alert_id, message);
  // What is cleared is told once more and then of no interest here.
  for (const [id, alert] of alertsById) if (alert.status === 'cleared') alertsById.delete(id);
  patch({ alerts: [...alertsById.values()], alertsKnown: true });
}

/** Says that somebody in front of this screen has seen the alert; why not, if it fails. */
export async function acknowledge(id: string): Promise<string | null> {
  try {
    const alert = await api.acknowledge(id, ACKNOWLEDGED_BY);
    applyAlerts({ type: 'update', id: 'alerts', data: [alert], removed: [] });
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function applyStations(message: DataMessage): void {
  reduce<WeatherStation>(stationsById, (station) => station.station_id, message);
  patch({ stations: [...stationsById.values()] });
}

function applySummary(summary: CitySummary): void {
  patch({ summary, summaryAt_ms: Date.now() });
}

/** What changes with every frame reaches React here, twice a second. */
function countInView(): void {
  const { view, vehiclesInView, dataAt_ms: shown_ms } = useLive.getState();
  if (dataAt_ms - shown_ms >= 1_000) patch({ dataAt_ms });
  if (!view) return;
  let count = 0;
  for (const vehicle of vehicles.values()) {
    if (contains(view, vehicle.longitude, vehicle.latitude)) count++;
  }
  if (count !== vehiclesInView) patch({ vehiclesInView: count });
}
