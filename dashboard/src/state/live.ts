import { create } from 'zustand';
import { type ConnectionState, initialConnection } from '../api/connection';
import type {
  Alert,
  Bbox,
  Camera,
  City,
  CitySummary,
  Fences,
  Incident,
  Streets,
  WeatherStation,
} from '../api/types';
import type { MinuteSpeed } from './history';
import type { Lag } from './lag';

/** How far a REST load has come. */
export type Load = { phase: 'loading' } | { phase: 'ready' } | { phase: 'failed'; reason: string };

/** Slow data which React shows: it changes once a second at most. */
export interface LiveData {
  connection: ConnectionState;
  /** False until the first frame ever: the difference between loading and broken. */
  everLive: boolean;
  city: City | null;
  cityLoad: Load;
  streets: Streets | null;
  streetsLoad: Load;
  summary: CitySummary | null;
  /** When `summary` came in, ms. */
  summaryAt_ms: number;
  /** When something last came in from the streets, not counting summaries and heartbeats, ms. */
  dataAt_ms: number;
  incidents: Incident[];
  incidentsKnown: boolean;
  /** Alerts that are not cleared. */
  alerts: Alert[];
  alertsKnown: boolean;
  stations: WeatherStation[];
  cameras: Camera[];
  /** Null until known. */
  fences: Fences | null;
  /** How far the layers are behind, null until known. */
  lag: Lag | null;
  /** The city's mean speed by minute, the newest last. */
  speedHistory: readonly MinuteSpeed[];
  /** Vehicles inside the viewport proper, not its padding. */
  vehiclesInView: number;
  /** True once the vehicle subscription has answered for the present view. */
  vehiclesKnown: boolean;
  view: Bbox | null;
  /** The server's last complaint about a message of ours. */
  serverError: string | null;
}

export const useLive = create<LiveData>()(() => ({
  connection: initialConnection,
  everLive: false,
  city: null,
  cityLoad: { phase: 'loading' },
  streets: null,
  streetsLoad: { phase: 'loading' },
  summary: null,
  summaryAt_ms: 0,
  dataAt_ms: 0,
  incidents: [],
  incidentsKnown: false,
  alerts: [],
  alertsKnown: false,
  stations: [],
  cameras: [],
  fences: null,
  lag: null,
  speedHistory: [],
  vehiclesInView: 0,
  vehiclesKnown: false,
  view: null,
  serverError: null,
}));
