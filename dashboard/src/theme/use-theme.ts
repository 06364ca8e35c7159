import { useEffect, useSyncExternalStore } from 'react';
import { useUi } from '../state/ui';
import type { ThemeName } from './scales';

function useMedia(query: string): boolean {
  return useSyncExternalStore(
    (changed) => {
      const media = matchMedia(query);
      media.addEventListener('change', changed);
      return () => media.removeEventListener('change', changed);
    },
    () => matchMedia(query).matches,
  );
}

/** The theme in force: the operator's choice, or what the system prefers. */
export function useThemeName(): ThemeName {
  const preference = useUi((ui) => ui.theme);
  const systemLight = useMedia('(prefers-color-scheme: light)');
  if (preference !== 'system') return preference;
  return systemLight ? 'light' : 'dark';
}

export const useReducedMotion = (): boolean => useMedia('(prefers-reduced-motion: reduce)');

/** True where panels become a bottom sheet. */
export const useNarrow = (): boolean => useMedia('(max-width: 719px)');

/** How much larger than on a desk screen things are: the root font size tells (see global.css). */
export function useDisplayScale(): number {
  return useSyncExternalStore(
    (changed) => {
      addEventListener('resize', changed);
      return () => removeEventListener('resize', changed);
    },
    () => Number.parseFloat(getComputedStyle(document.documentElement).fontSize) / 16 || 1,
  );
}

/** Before the first paint, so that nobody who works by day is shown the night first. */
export function showThemeAtOnce(): void {
  const { theme } = useUi.getState();
  const systemLight = matchMedia('(prefers-color-scheme: light)').matches;
  document.documentElement.dataset.theme = theme === 'system' ? (systemLight ? 'light' : 'dark') : theme;
}

/** Puts the theme on the document, where the style sheets read it. */
export function useThemeOnDocument(): void {
  const theme = useThemeName();
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
  }, [theme]);
}
