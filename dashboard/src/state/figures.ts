import type { CitySummary, WeatherStation } from '../api/types';
import { formatAge, parseTime } from '../format/age';
import { formatCompact, formatNumber, humanize, UNKNOWN } from '../format/number';
import type { MinuteSpeed } from './history';
import { describeLag, isBehind, type Lag } from './lag';

/** One figure of the strip, ready to show, with the answer to "what is this?". */
export interface Figure {
  key: string;
  label: string;
  value: string;
  unit: string;
  /** Room for the widest value and unit, in rem: what changes never moves its neighbours. */
  room_rem: number;
  /** What it is. */
  meaning: string;
  /** How it is computed. */
  method: string;
  age: string;
  /** Draws the eye: something needs attention. */
  loud?: boolean;
  /** How it came to be, the newest last. */
  history?: readonly MinuteSpeed[];
}

const mean = (values: number[]): number | null =>
  values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;

const known = (values: (number | null | undefined)[]): number[] =>
  values.filter((value): value is number => typeof value === 'number' && Number.isFinite(value));

/** The word that most stations report; ties go to the one met first. */
export function commonest(words: (string | null | undefined)[]): string | null {
  const counts = new Map<string, number>();
  for (const word of words) if (word) counts.set(word, (counts.get(word) ?? 0) + 1);
  let best: string | null = null;
  for (const [word, count] of counts) if (best === null || count > (counts.get(best) ?? 0)) best = word;
  return best;
}

/** Names of the US EPA's air quality index categories (40 CFR 58, appendix G). */
export function aqiCategory(aqi: number | null): string {
  if (aqi === null) return '';
  if (aqi <= 50) return 'good';
  if (aqi <= 100) return 'moderate';
  if (aqi <= 150) return 'sensitive';
  if (aqi <= 200) return 'unhealthy';
  if (aqi <= 300) return 'very unhealthy';
  return 'hazardous';
}

export interface CityWeather {
  temperature_c: number | null;
  condition: string | null;
  aqi: number | null;
  stations: number;
  newest_ms: number;
}

export function cityWeather(stations: readonly WeatherStation[]): CityWeather {
  return {
    temperature_c: mean(known(stations.map((station) => station.temperature))),
    condition: commonest(stations.map((station) => station.condition)),
    aqi: mean(known(stations.map((station) => station.air_quality_index))),
    stations: stations.length,
    newest_ms: Math.max(Number.NEGATIVE_INFINITY, ...stations.map((station) => parseTime(station.timestamp))),
  };
}

export interface FigureInput {
  summary: CitySummary | null;
  /** Active incidents, null until known. */
  incidents: number | null;
  /** Those of them that are critical. */
  critical: number;
  weather: CityWeather;
  lag: Lag | null;
  speedHistory: readonly MinuteSpeed[];
  now_ms: number;
}

/** Tenths while it is small: they show that it moves. */
function formatLagSeconds(lag: Lag | null): string {
  const seconds = lag?.speed.seconds;
  return formatNumber(seconds, seconds !== null && seconds !== undefined && seconds < 9.95 ? 1 : 0);
}

/** The strip's figures in reading order. Pure. */
export function figures(input: FigureInput): Figure[] {
  const { summary, incidents, critical, weather, lag, speedHistory, now_ms } = input;
  const age = summary ? formatAge(parseTime(summary.timestamp), now_ms) : 'not yet received';
  const weatherAge = weather.stations > 0 ? formatAge(weather.newest_ms, now_ms) : 'not yet received';
  const active = incidents ?? summary?.active_emergencies;
  const over = `mean over ${weather.stations} stations`;
  return [
    {
      key: 'vehicles',
      label: 'Vehicles',
      value: formatNumber(summary?.total_vehicles),
      unit: '',
      room_rem: 5.75,
      meaning: 'Vehicles with a known position',
      method: 'Counted from the last position of each vehicle, which is kept for 10 minutes.',
      age,
    },
    {
      key: 'moving',
      label: 'Moving',
      value: formatNumber(summary?.moving_vehicles),
      unit: '',
      room_rem: 5.75,
      meaning: 'Vehicles that drive at the moment',
      method: 'Those of the vehicles whose last fix has a speed of 3 km/h or more.',
      age,
    },
    {
      key: 'speed',
      label: 'Mean speed',
      // The mean of no vehicles is unknown, not 0.
      value: formatNumber(summary?.total_vehicles ? summary.average_city_speed : null, 1),
      unit: 'km/h',
      room_rem: 11,
      meaning: 'Mean speed over all vehicles, in km/h',
      method:
        'Arithmetic mean of the last speed of each vehicle. The line: mean of all fixes, minute by minute.',
      age,
      history: speedHistory,
    },
    {
      key: 'incidents',
      label: 'Incidents',
      value: formatNumber(active),
      unit: critical > 0 ? `${critical} critical` : 'active',
      room_rem: 8.75,
      meaning: 'Incidents which are not yet resolved',
      method: 'Counted from the last report on each incident: active, dispatched or on scene.',
      age,
      loud: critical > 0,
    },
    {
      key: 'congested',
      label: 'Congested',
      value: formatNumber(summary?.congested_roads),
      unit: 'roads',
      room_rem: 7,
      meaning: 'Street segments with heavy or severe congestion',
      method: 'Mean speed of the last minute on each segment against its free-flow speed.',
      age,
    },
    {
      key: 'weather',
      label: humanize(weather.condition) === UNKNOWN ? 'Weather' : humanize(weather.condition),
      value: formatNumber(weather.temperature_c, 1),
      unit: '°C',
      room_rem: 7,
      meaning: 'Air temperature in °C, and the commonest condition',
      method: `Temperature: ${over}. Condition: the one that most of them report.`,
      age: weatherAge,
    },
    {
      key: 'aqi',
      label: 'Air quality',
      value: formatNumber(weather.aqi),
      unit: `AQI ${aqiCategory(weather.aqi)}`.trim(),
      room_rem: 9.5,
      meaning: 'US EPA air quality index, 0 (best) to 500',
      method: `Arithmetic ${over}. Up to 50 is good, above 150 unhealthy for all.`,
      age: weatherAge,
    },
    {
      key: 'rate',
      label: 'Events',
      value: formatCompact(summary?.events_per_second),
      unit: '/s',
      room_rem: 6.25,
      meaning: 'Events taken in per second, all streams together',
      method: 'Counted by the speed layer over the last 10 seconds.',
      age,
    },
    {
      key: 'lag',
      label: 'Behind',
      value: formatLagSeconds(lag),
      unit: 's',
      room_rem: 5.25,
      meaning: 'How far what is shown is behind the event log',
      method: describeLag(lag),
      age: lag ? formatAge(lag.at_ms, now_ms) : 'not yet received',
      loud: isBehind(lag),
    },
  ];
}
