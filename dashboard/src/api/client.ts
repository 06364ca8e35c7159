import type {
  Alert,
  Camera,
  City,
  CitySummary,
  Fences,
  Incident,
  LayerLag,
  RoadTraffic,
  Streets,
  Vehicle,
  VehicleWithTrail,
  WeatherStation,
  Windows,
} from './types';

/** An HTTP answer that is not the data asked for; `status` is 0 when no answer came at all. */
export class ApiError extends Error {
  constructor(
    readonly path: string,
    readonly status: number,
    detail: string,
  ) {
    super(`${path}: ${detail}`);
    this.name = 'ApiError';
  }
}

const REQUEST_TIMEOUT_MS = 20_000;

async function detailOf(response: Response): Promise<string> {
  try {
    const body: unknown = await response.json();
    if (body && typeof body === 'object' && 'detail' in body) return String(body.detail);
  } catch {
    // Not JSON: the status line says all there is to say.
  }
  return `${response.status} ${response.statusText}`.trim();
}

async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(path, {
      headers: { accept: 'application/json, application/geo+json' },
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiError(path, 0, 'the server does not answer');
  }
  if (!response.ok) throw new ApiError(path, response.status, await detailOf(response));
  return (await response.json()) as T;
}

async function post<T>(path: string, body: unknown): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, {
      method: 'POST',
      headers: { accept: 'application/json', 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
  } catch {
    throw new ApiError(path, 0, 'the server does not answer');
  }
  if (!response.ok) throw new ApiError(path, response.status, await detailOf(response));
  return (await response.json()) as T;
}

/** Every REST call the dashboard makes. All go to the page's own origin. */
export const api = {
  city: (signal?: AbortSignal) => get<City>('/api/city', signal),
  streets: (signal?: AbortSignal) => get<Streets>('/api/streets.geojson', signal),
  vehicles: (limit: number, signal?: AbortSignal) =>
    get<Vehicle[]>(`/api/vehicles/locations?limit=${limit}`, signal),
  vehicle: (id: string, signal?: AbortSignal) =>
    get<VehicleWithTrail>(`/api/vehicles/${encodeURIComponent(id)}`, signal),
  alerts: (signal?: AbortSignal) => get<Alert[]>('/api/alerts?status=active', signal),
  acknowledge: (id: string, author: string) =>
    post<Alert>(`/api/alerts/${encodeURIComponent(id)}/acknowledge`, { author }),
  incidents: (signal?: AbortSignal) => get<Incident[]>('/api/emergencies/active', signal),
  traffic: (signal?: AbortSignal) => get<RoadTraffic[]>('/api/traffic/conditions', signal),
  stations: (signal?: AbortSignal) => get<WeatherStation[]>('/api/weather/stations', signal),
  cameras: (signal?: AbortSignal) => get<Camera[]>('/api/cameras', signal),
  fences: (signal?: AbortSignal) => get<Fences>('/api/fences.geojson?outline=true', signal),
  lag: (signal?: AbortSignal) => get<LayerLag[]>('/api/lag', signal),
  /** The city's speeds, minute by minute. */
  speedHistory: (signal?: AbortSignal) => get<Windows>('/api/windows/city?key=speed', signal),
  summary: (signal?: AbortSignal) => get<CitySummary>('/api/analytics/city-summary', signal),
};
