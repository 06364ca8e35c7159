import { describe, expect, it } from 'vitest';
import { luminance, oklchToRgb, type Rgb } from './oklch';
import {
  CONGESTION_LEVELS,
  congestionColor,
  SEVERITIES,
  SPEED_SCALE_MAX_KMH,
  severityColor,
  speedColor,
  type ThemeName,
  toCongestionLevel,
  toSeverity,
} from './scales';

const THEMES: ThemeName[] = ['dark', 'light'];

/** CIE L*, 0..100: what a colour-blind eye has left. */
const lightness = (rgb: Rgb) => {
  const y = luminance(rgb);
  return y > 0.008856 ? 116 * Math.cbrt(y) - 16 : 903.3 * y;
};

describe('oklch', () => {
  it('hits the corners of sRGB', () => {
    expect(oklchToRgb({ l: 1, c: 0, h: 0 })).toEqual([255, 255, 255]);
    expect(oklchToRgb({ l: 0, c: 0, h: 0 })).toEqual([0, 0, 0]);
    const red = oklchToRgb({ l: 0.62796, c: 0.25768, h: 29.234 });
    expect(red[0]).toBe(255);
    expect(red[1]).toBeLessThanOrEqual(1);
    expect(red[2]).toBeLessThanOrEqual(1);
  });
});

describe.each(THEMES)('the speed scale, %s', (theme) => {
  const samples = Array.from({ length: 10 }, (_, i) => speedColor((i / 9) * SPEED_SCALE_MAX_KMH, theme));

  it('changes lightness in one direction by even steps', () => {
    const steps = samples.slice(1).map((rgb, i) => lightness(rgb) - lightness(samples[i] as Rgb));
    const direction = theme === 'dark' ? 1 : -1;
    for (const step of steps) expect(step * direction).toBeGreaterThan(0);
    const sizes = steps.map(Math.abs);
    expect(Math.max(...sizes) / Math.min(...sizes)).toBeLessThan(2);
  });

  it('stays at its ends outside of the scale, and at the slow end without a speed', () => {
    expect(speedColor(400, theme)).toEqual(speedColor(SPEED_SCALE_MAX_KMH, theme));
    expect(speedColor(-5, theme)).toEqual(speedColor(0, theme));
    expect(speedColor(Number.NaN, theme)).toEqual(speedColor(0, theme));
  });
});

describe.each(THEMES)('congestion and severity, %s', (theme) => {
  it('tell their order by lightness alone', () => {
    const direction = theme === 'dark' ? 1 : -1;
    const values = CONGESTION_LEVELS.map((level) => lightness(congestionColor(level, theme)) * direction);
    expect(values).toEqual([...values].sort((a, b) => a - b));
  });

  it('has a colour of its own for each severity', () => {
    expect(new Set(SEVERITIES.map((severity) => severityColor(severity, theme).join())).size).toBe(4);
  });
});

describe('words from the wire', () => {
  it('are read in any case, and unknown ones are drawn in the middle or quietly', () => {
    expect(toSeverity('Critical')).toBe('critical');
    expect(toSeverity('odd')).toBe('medium');
    expect(toSeverity(null)).toBe('medium');
    expect(toCongestionLevel('HEAVY')).toBe('heavy');
    expect(toCongestionLevel('odd')).toBe('light');
  });
});
