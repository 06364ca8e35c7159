import { useSyncExternalStore } from 'react';

/** One clock for all ages on the page, so that they tick together. */
let now_ms = Date.now();
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | null = null;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    now_ms = Date.now();
    for (const each of listeners) each();
  }, 1_000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0 && timer) {
      clearInterval(timer);
      timer = null;
    }
  };
}

/** The time in ms, renewed once a second. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now_ms);
}
