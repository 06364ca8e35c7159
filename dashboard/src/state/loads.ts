import { api } from '../api/client';
import { backoffMs } from '../api/connection';
import { useLive } from './live';
import { indexStreets } from './roads';

/** The loads without which there is no map: retried until they succeed. */

const reasonOf = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause));

let timer: ReturnType<typeof setTimeout> | null = null;
let attempt = 0;

/** Loads the city and its streets; on failure again after a growing wait, or when called. */
export async function loadMap(): Promise<void> {
  if (timer) clearTimeout(timer);
  timer = null;
  const done = (await Promise.all([loadCity(), loadStreets()])).every(Boolean);
  if (done) {
    attempt = 0;
    return;
  }
  attempt += 1;
  timer = setTimeout(() => void loadMap(), backoffMs(attempt + 2, Math.random()));
}

async function loadCity(): Promise<boolean> {
  if (useLive.getState().city) return true;
  try {
    const city = await api.city();
    useLive.setState({ city, cityLoad: { phase: 'ready' } });
    document.title = `${city.name} · CityPulse`;
    return true;
  } catch (cause) {
    useLive.setState({ cityLoad: { phase: 'failed', reason: reasonOf(cause) } });
    return false;
  }
}

async function loadStreets(): Promise<boolean> {
  if (useLive.getState().streets) return true;
  try {
    const streets = await api.streets();
    indexStreets(streets);
    useLive.setState({ streets, streetsLoad: { phase: 'ready' } });
    return true;
  } catch (cause) {
    useLive.setState({ streetsLoad: { phase: 'failed', reason: reasonOf(cause) } });
    return false;
  }
}
