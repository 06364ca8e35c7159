import { useEffect, useState } from 'react';
import { ApiError, api } from '../api/client';
import type { TrailPoint, Vehicle, VehicleWithTrail } from '../api/types';
import { formatAge, parseTime } from '../format/age';
import { formatHeading, formatNumber, humanize, UNKNOWN } from '../format/number';
import { flyTo } from '../map/camera';
import { setTrail, tracks, trail, vehicles } from '../state/fleet';
import { streetName, streetsById } from '../state/roads';
import { useUi } from '../state/ui';
import { css } from '../theme/oklch';
import { SPEED_SCALE_MAX_KMH, speedColor } from '../theme/scales';
import { useThemeName } from '../theme/use-theme';
import { useNow } from './use-now';
import styles from './VehiclePanel.module.css';

const REFRESH_MS = 10_000;

type Loaded =
  | { phase: 'loading' }
  | { phase: 'ready'; vehicle: VehicleWithTrail }
  | { phase: 'gone'; why: string };

/** Loads the vehicle with its trail, and again every 10 s: it may drive out of the view. */
function useVehicle(id: string): Loaded {
  const [loaded, setLoaded] = useState<Loaded>({ phase: 'loading' });
  useEffect(() => {
    const abort = new AbortController();
    setLoaded({ phase: 'loading' });
    setTrail(id, []);
    const load = async () => {
      try {
        const vehicle = await api.vehicle(id, abort.signal);
        setTrail(id, vehicle.trail);
        setLoaded({ phase: 'ready', vehicle });
      } catch (cause) {
        if (abort.signal.aborted) return;
        const missing = cause instanceof ApiError && cause.status === 404;
        if (missing) setLoaded({ phase: 'gone', why: 'No longer known: silent for more than 10 minutes.' });
        // Any other failure leaves what is shown; its age tells.
      }
    };
    void load();
    const timer = setInterval(() => void load(), REFRESH_MS);
    return () => {
      abort.abort();
      clearInterval(timer);
      setTrail(null, []);
    };
  }, [id]);
  return loaded;
}

export function vehicleKind(vehicle: Vehicle): string {
  const car = [vehicle.make, vehicle.model].filter(Boolean).join(' ');
  const kind = vehicle.vehicle_type ? humanize(vehicle.vehicle_type) : '';
  return [kind, car].filter(Boolean).join(' · ') || 'Vehicle';
}

/** On a trip since when, or when the last one ended; null where none was seen. */
export function describeTrip(vehicle: Vehicle, now_ms: number): string | null {
  if (vehicle.trip_started_at) return `since ${formatAge(parseTime(vehicle.trip_started_at), now_ms)}`;
  if (vehicle.last_trip) return `ended ${formatAge(parseTime(vehicle.last_trip.ended_at), now_ms)}`;
  return null;
}

const DOUBTS: Record<string, string> = {
  null_island: 'no position',
  inaccurate: 'inaccurate',
  teleport: 'a jump',
};

/** How many fixes were kept off the map, and what was wrong with the last one. */
export function describeBadFixes(vehicle: Vehicle, now_ms: number): string | null {
  const bad = vehicle.bad_fixes;
  if (!bad) return null;
  const reason = DOUBTS[bad.reason] ?? humanize(bad.reason);
  return `${formatNumber(bad.count)}, last ${reason} ${formatAge(parseTime(bad.timestamp), now_ms)}`;
}

export function VehiclePanel({ id }: { id: string }) {
  const loaded = useVehicle(id);
  const now_ms = useNow();
  const theme = useThemeName();
  const following = useUi((ui) => ui.following);
  const vehicle = vehicles.get(id) ?? (loaded.phase === 'ready' ? loaded.vehicle : null);
  if (!vehicle) {
    return <p className={styles.note}>{loaded.phase === 'gone' ? loaded.why : 'Loading the vehicle…'}</p>;
  }
  const speed = vehicle.speed ?? 0;
  const share = Math.min(1, speed / SPEED_SCALE_MAX_KMH);
  const limit = vehicle.road_id ? streetsById.get(vehicle.road_id)?.limit_kmh : null;
  const trip = describeTrip(vehicle, now_ms);
  const badFixes = describeBadFixes(vehicle, now_ms);
  const track = tracks.get(id);
  const received_ms = track ? now_ms - (performance.now() - track.arrived_ms) : Number.NaN;
  return (
    <div className={styles.body}>
      <p className={styles.kind}>{vehicleKind(vehicle)}</p>
      <div className={styles.speed}>
        <span className={styles.figure}>{formatNumber(vehicle.speed)}</span>
        <span className={styles.unit}>km/h</span>
        <span className={styles.limit}>{limit ? `limit ${limit}` : ''}</span>
      </div>
      <div className={styles.gauge} aria-hidden="true">
        <div style={{ width: `${share * 100}%`, background: css(speedColor(speed, theme)) }} />
        {limit ? <i style={{ left: `${Math.min(1, limit / SPEED_SCALE_MAX_KMH) * 100}%` }} /> : null}
      </div>
      <dl className={styles.facts}>
        <Fact name="Street" value={streetName(vehicle.road_id) ?? UNKNOWN} />
        <Fact name="Heading" value={formatHeading(vehicle.direction)} />
        {vehicle.fuel_type && <Fact name="Drive" value={humanize(vehicle.fuel_type)} />}
        {vehicle.year && <Fact name="Built" value={String(vehicle.year)} />}
        {vehicle.route_id && <Fact name="Route" value={vehicle.route_id} />}
        {typeof vehicle.occupied === 'boolean' && (
          <Fact name="Taxi" value={vehicle.occupied ? 'Occupied' : 'Free'} />
        )}
        {trip && (
          <Fact name="Trip" value={trip} title={vehicle.trip_started_at ?? vehicle.last_trip?.ended_at} />
        )}
        {badFixes && <Fact name="Bad fixes" value={badFixes} title={vehicle.bad_fixes?.timestamp} />}
        <Fact name="Fix" value={formatAge(parseTime(vehicle.timestamp), now_ms)} title={vehicle.timestamp} />
        {track && <Fact name="Received" value={formatAge(received_ms, now_ms)} />}
      </dl>
      <SpeedTrail points={trail.id === id ? trail.points : []} />
      <div className={styles.actions}>
        <button type="button" onClick={() => flyTo(vehicle.longitude, vehicle.latitude, 16)}>
          Show
        </button>
        <button
          type="button"
          aria-pressed={following}
          onClick={() => useUi.getState().follow(!following)}
          disabled={!track}
        >
          {following ? 'Following' : 'Follow'}
        </button>
      </div>
    </div>
  );
}

function Fact({ name, value, title }: { name: string; value: string; title?: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd title={title ?? value}>{value}</dd>
    </div>
  );
}

const WIDTH = 240;
const HEIGHT = 40;

/** Speed over the last fixes, oldest left, on the scale of the map's colours. */
function SpeedTrail({ points }: { points: readonly TrailPoint[] }) {
  const theme = useThemeName();
  const known = points.filter((point) => typeof point.speed === 'number');
  if (known.length < 2) return null;
  const step = WIDTH / known.length;
  return (
    <figure className={styles.trail}>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
        {known.map((point, i) => {
          const speed = point.speed ?? 0;
          const height = Math.max(1.5, Math.min(1, speed / SPEED_SCALE_MAX_KMH) * HEIGHT);
          return (
            <rect
              key={point.timestamp}
              x={i * step + 1}
              y={HEIGHT - height}
              width={step - 2}
              height={height}
              rx="1.5"
              fill={css(speedColor(speed, theme))}
            />
          );
        })}
      </svg>
      <figcaption>Speed at the last {known.length} fixes</figcaption>
    </figure>
  );
}
