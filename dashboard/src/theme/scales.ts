import type { CongestionLevel } from '../api/types';
import { css, mixOklch, type Oklch, oklchToRgb, type Rgb } from './oklch';

/**
 * The data's colours. Cool hues move (vehicles), warm hues need attention (congestion,
 * incidents). Within each scale lightness alone tells the order, in even steps, so that it
 * reads without colour vision; hue only helps.
 */

export type ThemeName = 'dark' | 'light';

/** km/h at which the speed scale is full. */
export const SPEED_SCALE_MAX_KMH = 90;

const SPEED_ENDS: Record<ThemeName, { slow: Oklch; fast: Oklch }> = {
  // On a night map brighter is faster; on paper darker is.
  dark: { slow: { l: 0.52, c: 0.18, h: 300 }, fast: { l: 0.95, c: 0.11, h: 150 } },
  light: { slow: { l: 0.68, c: 0.15, h: 300 }, fast: { l: 0.34, c: 0.08, h: 160 } },
};

const STEPS = 256;

function ramp(theme: ThemeName): Rgb[] {
  const { slow, fast } = SPEED_ENDS[theme];
  return Array.from({ length: STEPS }, (_, i) => oklchToRgb(mixOklch(slow, fast, i / (STEPS - 1))));
}

const RAMPS: Record<ThemeName, Rgb[]> = { dark: ramp('dark'), light: ramp('light') };

/** The colour of a speed; below 0 and above the scale's end it stays at the ends. */
export function speedColor(speed_kmh: number, theme: ThemeName): Rgb {
  const share = Number.isFinite(speed_kmh) ? speed_kmh / SPEED_SCALE_MAX_KMH : 0;
  const index = Math.round(Math.min(1, Math.max(0, share)) * (STEPS - 1));
  return RAMPS[theme][index] as Rgb;
}

export function speedGradient(theme: ThemeName): string {
  const stops = Array.from({ length: 9 }, (_, i) => css(speedColor((i / 8) * SPEED_SCALE_MAX_KMH, theme)));
  return `linear-gradient(90deg, ${stops.join(', ')})`;
}

export const CONGESTION_LEVELS: readonly CongestionLevel[] = ['light', 'moderate', 'heavy', 'severe'];

const CONGESTION: Record<ThemeName, Record<CongestionLevel, Oklch>> = {
  dark: {
    light: { l: 0.47, c: 0.06, h: 215 },
    moderate: { l: 0.58, c: 0.1, h: 85 },
    heavy: { l: 0.71, c: 0.15, h: 58 },
    severe: { l: 0.84, c: 0.11, h: 28 },
  },
  light: {
    light: { l: 0.78, c: 0.03, h: 240 },
    moderate: { l: 0.7, c: 0.12, h: 85 },
    heavy: { l: 0.6, c: 0.17, h: 48 },
    severe: { l: 0.46, c: 0.18, h: 20 },
  },
};

export function congestionColor(level: CongestionLevel, theme: ThemeName): Rgb {
  return oklchToRgb(CONGESTION[theme][level]);
}

/** Free text from the wire to a level; unknown words are `light`, which draws quietly. */
export function toCongestionLevel(text: string): CongestionLevel {
  const lower = text.toLowerCase();
  return CONGESTION_LEVELS.find((level) => level === lower) ?? 'light';
}

export const SEVERITIES = ['critical', 'high', 'medium', 'low'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** Unknown or missing severity is shown as medium: neither hidden nor crying wolf. */
export function toSeverity(text: string | null | undefined): Severity {
  const lower = (text ?? '').toLowerCase();
  return SEVERITIES.find((severity) => severity === lower) ?? 'medium';
}

const SEVERITY: Record<ThemeName, Record<Severity, Oklch>> = {
  dark: {
    critical: { l: 0.66, c: 0.23, h: 22 },
    high: { l: 0.74, c: 0.17, h: 52 },
    medium: { l: 0.83, c: 0.15, h: 88 },
    low: { l: 0.9, c: 0.05, h: 95 },
  },
  light: {
    critical: { l: 0.5, c: 0.21, h: 24 },
    high: { l: 0.6, c: 0.18, h: 45 },
    medium: { l: 0.7, c: 0.15, h: 75 },
    low: { l: 0.6, c: 0.04, h: 85 },
  },
};

export function severityColor(severity: Severity, theme: ThemeName): Rgb {
  return oklchToRgb(SEVERITY[theme][severity]);
}

export const SEVERITY_SIZE_PX: Record<Severity, number> = { critical: 34, high: 28, medium: 23, low: 18 };
