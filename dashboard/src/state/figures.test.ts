import { describe, expect, it } from 'vitest';
import type { WeatherStation } from '../api/types';
import { aqiCategory, cityWeather, commonest, figures } from './figures';

const station = (data: Partial<WeatherStation>): WeatherStation => ({
  station_id: 's',
  latitude: 0,
  longitude: 0,
  timestamp: '2026-01-01T00:00:00Z',
  ...data,
});

describe('cityWeather', () => {
  it('averages what is known and leaves out what is not', () => {
    const weather = cityWeather([
      station({ temperature: 4, condition: 'Rain', air_quality_index: 20 }),
      station({ temperature: 6, condition: 'Rain' }),
      station({ temperature: null, condition: 'Fog', air_quality_index: 40 }),
    ]);
    expect(weather).toMatchObject({ temperature_c: 5, condition: 'Rain', aqi: 30, stations: 3 });
  });
  it('knows nothing without stations', () => {
    expect(cityWeather([])).toMatchObject({ temperature_c: null, condition: null, aqi: null });
  });
});

describe('commonest', () => {
  it('counts words', () => {
    expect(commonest(['a', 'b', 'b', null])).toBe('b');
    expect(commonest([])).toBeNull();
  });
});

describe('aqiCategory', () => {
  it('follows the breakpoints', () => {
    expect([50, 51, 100, 150, 151, 301].map(aqiCategory)).toEqual([
      'good',
      'moderate',
      'moderate',
      'sensitive',
      'unhealthy',
      'hazardous',
    ]);
  });
});

describe('figures', () => {
  it('shows dashes, not zeros, before anything is known', () => {
    const all = figures({
      summary: null,
      incidents: null,
      critical: 0,
      weather: cityWeather([]),
      lag: null,
      speedHistory: [],
      now_ms: 0,
    });
    expect(all.every((figure) => figure.value === '–')).toBe(true);
    expect(all.every((figure) => figure.age === 'not yet received')).toBe(true);
  });

  it('has no mean speed where there are no vehicles', () => {
    const summary = {
      total_vehicles: 0,
      active_emergencies: 0,
      average_city_speed: 0,
      congested_roads: 0,
      timestamp: '2026-01-01T00:00:00Z',
    };
    const all = figures({
      summary,
      incidents: 0,
      critical: 0,
      weather: cityWeather([]),
      lag: null,
      speedHistory: [],
      now_ms: 0,
    });
    expect(all.find((figure) => figure.key === 'speed')?.value).toBe('–');
    expect(all.find((figure) => figure.key === 'vehicles')?.value).toBe('0');
  });

  it('explains every figure', () => {
    const all = figures({
      summary: {
        total_vehicles: 1500,
        active_emergencies: 3,
        average_city_speed: 31.25,
        congested_roads: 2,
        timestamp: '2026-01-01T00:00:00Z',
      },
      incidents: 4,
      critical: 1,
      weather: cityWeather([]),
      lag: {
        speed: { events: 40, seconds: 12.34, position_age_s: 0 },
        batch: { events: 0, seconds: 0, position_age_s: 0 },
        at_ms: Date.UTC(2026, 0, 1, 0, 0, 1),
      },
      speedHistory: [{ start_ms: 0, speed_kmh: 30, final: true }],
      now_ms: Date.UTC(2026, 0, 1, 0, 0, 3),
    });
    const by = new Map(all.map((figure) => [figure.key, figure]));
    expect(by.get('vehicles')).toMatchObject({ value: '1\u202f500', age: '3 s ago' });
    expect(by.get('speed')?.value).toBe('31.3');
    expect(by.get('speed')?.history).toHaveLength(1);
    expect(by.get('lag')).toMatchObject({ value: '12', unit: 's', loud: true, age: '2 s ago' });
    expect(by.get('incidents')).toMatchObject({ value: '4', unit: '1 critical', loud: true });
    expect(all.every((figure) => figure.meaning && figure.method)).toBe(true);
  });
});
