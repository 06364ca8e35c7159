// @vitest-environment jsdom
import { describe, expect, it } from 'vitest';
import type { Alert, Incident } from '../api/types';
import { placed } from '../map/layers';
import { byAttention } from './AlertsPanel';
import { describeConnection } from './ConnectionPill';
import { byUrgency } from './IncidentsPanel';
import { describeBadFixes, describeTrip, vehicleKind } from './VehiclePanel';

describe('the connection in words', () => {
  it('differs from phase to phase and counts down', () => {
    const phases = [
      describeConnection({ phase: 'live', attempt: 0, since_ms: 0, last_message_ms: 0 }, 9_000),
      describeConnection({ phase: 'stale', attempt: 0, since_ms: 0, last_message_ms: 1_000 }, 15_000),
      describeConnection({ phase: 'connecting', attempt: 0 }, 0),
      describeConnection({ phase: 'connecting', attempt: 2 }, 0),
      describeConnection({ phase: 'waiting', attempt: 2, retry_at_ms: 4_200 }, 1_000),
      describeConnection({ phase: 'offline', attempt: 2, retry_at_ms: 4_200 }, 1_000),
    ].map((words) => words.text);
    expect(phases).toEqual([
      'Live',
      'Silent 14 s',
      'Connecting',
      'Reconnecting',
      'Reconnecting in 4 s',
      'Offline',
    ]);
  });
});

describe('the list of incidents', () => {
  it('has the worst first and among equals the newest', () => {
    const incident = (incident_id: string, severity: string, minute: number): Incident => ({
      incident_id,
      severity,
      incident_type: 'Fire',
      status: 'Active',
      latitude: 0,
      longitude: 0,
      timestamp: '2026-01-01T01:00:00Z',
      started_at: `2026-01-01T00:0${minute}:00Z`,
    });
    const sorted = [incident('a', 'Low', 9), incident('b', 'Critical', 1), incident('c', 'Critical', 2)]
      .sort(byUrgency)
      .map(({ incident_id }) => incident_id);
    expect(sorted).toEqual(['c', 'b', 'a']);
  });
});

describe('what a vehicle is called', () => {
  it('uses what the stream knows', () => {
    const placed = { vehicle_id: 'v', latitude: 0, longitude: 0, timestamp: '' };
    expect(vehicleKind({ ...placed, make: 'Volvo', model: 'EX30' })).toBe('Volvo EX30');
    expect(vehicleKind({ ...placed, vehicle_type: 'bus' })).toBe('Bus');
    expect(vehicleKind(placed)).toBe('Vehicle');
  });
});

describe('what a vehicle has been doing', () => {
  const at = (minute: number) => Date.parse(`2026-01-01T00:0${minute}:00Z`);
  const vehicle = { vehicle_id: 'v', latitude: 0, longitude: 0, timestamp: '' };
  it('is the trip that it is on, or the last one', () => {
    const last_trip = { started_at: '2026-01-01T00:00:00Z', ended_at: '2026-01-01T00:02:00Z' };
    expect(describeTrip(vehicle, at(5))).toBeNull();
    expect(describeTrip({ ...vehicle, last_trip }, at(5))).toBe('ended 3 min ago');
    const driving = { ...vehicle, last_trip, trip_started_at: '2026-01-01T00:04:00Z' };
    expect(describeTrip(driving, at(5))).toBe('since 1 min ago');
  });
  it('includes fixes that were kept off the map', () => {
    const bad_fixes = { count: 3, reason: 'null_island', timestamp: '2026-01-01T00:04:00Z' };
    expect(describeBadFixes(vehicle, at(5))).toBeNull();
    expect(describeBadFixes({ ...vehicle, bad_fixes }, at(5))).toBe('3, last no position 1 min ago');
  });
});

describe('the list of alerts', () => {
  const alert = (alert_id: string, severity: string, status: string, minute: number): Alert => ({
    alert_id,
    severity,
    status,
    rule: 'overspeed',
    subject: 'taxi-1',
    message: 'fast',
    started_at: `2026-01-01T00:0${minute}:00Z`,
    timestamp: '2026-01-01T01:00:00Z',
  });

  it('has what nobody has seen first, then the worst, then the newest', () => {
    const alerts = [
      alert('seen', 'Critical', 'acknowledged', 5),
      alert('old', 'High', 'raised', 1),
      alert('low', 'Low', 'raised', 9),
      alert('new', 'High', 'updated', 2),
    ];
    expect(alerts.sort(byAttention).map((each) => each.alert_id)).toEqual(['new', 'old', 'low', 'seen']);
  });

  it('shows on the map only what has a place', () => {
    const here = { ...alert('here', 'Low', 'raised', 1), latitude: 57.7, longitude: 0 };
    expect(placed([here, alert('nowhere', 'Low', 'raised', 1)])).toEqual([here]);
  });
});
