import { type ReactNode, useState } from 'react';
import { api } from '../api/client';
import { formatSpan } from '../format/age';
import { formatNumber } from '../format/number';
import { outsideCount, robustBounds } from '../map/bbox';
import { flyToBounds } from '../map/camera';
import { useLive } from '../state/live';
import { loadMap } from '../state/loads';
import { retryNow } from '../state/session';
import styles from './Notices.module.css';
import { useNow } from './use-now';

type Tone = 'loading' | 'empty' | 'stale' | 'broken' | 'offer';

function Notice({
  tone,
  title,
  children,
  action,
}: {
  tone: Tone;
  title: string;
  children?: ReactNode;
  action?: { label: string; run: () => void; busy?: boolean };
}) {
  return (
    <div className={styles.notice} data-tone={tone} role={tone === 'broken' ? 'alert' : 'status'}>
      <span className={styles.mark} aria-hidden="true" />
      <div className={styles.words}>
        <strong>{title}</strong>
        {children && <p>{children}</p>}
      </div>
      {action && (
        <button type="button" className={styles.action} onClick={action.run} disabled={action.busy}>
          {action.label}
        </button>
      )}
    </div>
  );
}

/** The server has never answered: nothing on the page is true yet. */
function Unreachable() {
  return (
    <Notice
      tone="broken"
      title="CityPulse does not answer"
      action={{
        label: 'Try again',
        run: () => {
          retryNow();
          void loadMap();
        },
      }}
    >
      Check that it runs: start it with <code>citypulse up</code>. This page connects by itself once it does.
    </Notice>
  );
}

/** Longer than the longest ordinary gap between events of a whole city. */
const QUIET_AFTER_MS = 30_000;

/** Connected, and yet nothing happens: the cause is behind the server. */
function NothingNew() {
  const phase = useLive((live) => live.connection.phase);
  const dataAt_ms = useLive((live) => live.dataAt_ms);
  const some = useLive((live) => (live.summary?.total_vehicles ?? 0) > 0);
  const now_ms = useNow();
  if (phase !== 'live' || dataAt_ms === 0 || !some || now_ms - dataAt_ms < QUIET_AFTER_MS) return null;
  return (
    <Notice tone="stale" title={`Nothing new for ${formatSpan(now_ms - dataAt_ms)}`}>
      The server answers, but no events come through. A recording may be over; otherwise see{' '}
      <code>citypulse doctor</code> and <code>/api/lag</code>.
    </Notice>
  );
}

function OldFigures() {
  const connection = useLive((live) => live.connection);
  const at_ms = useLive((live) => live.summaryAt_ms);
  const now_ms = useNow();
  if (connection.phase === 'live' || at_ms === 0) return null;
  // A blink of the connection needs no words: the pill says enough.
  if (now_ms - at_ms < 8_000) return null;
  return (
    <Notice
      tone="stale"
      title={`The picture is ${formatSpan(now_ms - at_ms)} old`}
      action={connection.phase === 'waiting' ? { label: 'Reconnect now', run: retryNow } : undefined}
    >
      Vehicles stand where they were last seen. It goes on by itself when the connection is back.
    </Notice>
  );
}

function StreetsState() {
  const load = useLive((live) => live.streetsLoad);
  if (load.phase === 'ready') return null;
  if (load.phase === 'loading') return <Notice tone="loading" title="Loading the streets…" />;
  return (
    <Notice
      tone="broken"
      title="The streets could not be loaded"
      action={{ label: 'Try again', run: () => void loadMap() }}
    >
      {load.reason}. Everything else goes on; it is tried again by itself.
    </Notice>
  );
}

function NoVehicles() {
  const total = useLive((live) => live.summary?.total_vehicles);
  const known = useLive((live) => live.vehiclesKnown);
  const inView = useLive((live) => live.vehiclesInView);
  if (!known || total !== 0 || inView > 0) return null;
  return (
    <Notice tone="empty" title="No vehicles yet">
      Start without <code>--no-generators</code>, replay a recording with <code>citypulse replay FILE</code>,
      or send events to <code>/api/ingest/vehicle_data</code>.
    </Notice>
  );
}

function OutsideView() {
  const total = useLive((live) => live.summary?.total_vehicles ?? 0);
  const inView = useLive((live) => live.vehiclesInView);
  const known = useLive((live) => live.vehiclesKnown);
  const view = useLive((live) => live.view);
  const city = useLive((live) => live.city);
  const [busy, setBusy] = useState(false);
  const outside = known ? outsideCount({ total, inView, view, city: city?.bounds ?? null }) : 0;
  if (outside === 0) return null;
  const show = async () => {
    setBusy(true);
    try {
      const bounds = robustBounds(await api.vehicles(10_000));
      if (bounds) flyToBounds(bounds);
    } catch {
      // The offer stays; pressing it again tries again.
    } finally {
      setBusy(false);
    }
  };
  return (
    <Notice
      tone="offer"
      title={`${formatNumber(outside)} vehicles are outside the view`}
      action={{ label: 'Show them', run: () => void show(), busy }}
    />
  );
}

/** What is not as it should be, each kind with its own look, and what to do about it. */
export function Notices() {
  const everLive = useLive((live) => live.everLive);
  const phase = useLive((live) => live.connection.phase);
  const unreachable = !everLive && (phase === 'waiting' || phase === 'offline');
  if (unreachable) {
    return (
      <div className={styles.notices}>
        <Unreachable />
      </div>
    );
  }
  return (
    <div className={styles.notices}>
      <OldFigures />
      <NothingNew />
      <StreetsState />
      <NoVehicles />
      <OutsideView />
    </div>
  );
}
