/**
 * Colours from OKLCH (Björn Ottosson, 2020, https://bottosson.github.io/posts/oklab/):
 * equal steps in `l` look like equal steps in lightness, also to colour-blind eyes.
 */

export type Rgb = [red: number, green: number, blue: number];

export interface Oklch {
  /** Lightness 0..1 */
  l: number;
  /** Chroma, about 0..0.3 */
  c: number;
  /** Hue in degrees */
  h: number;
}

function encode(linear: number): number {
  const v = Math.min(1, Math.max(0, linear));
  return Math.round(255 * (v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055));
}

export function oklchToRgb({ l, c, h }: Oklch): Rgb {
  const a = c * Math.cos((h * Math.PI) / 180);
  const b = c * Math.sin((h * Math.PI) / 180);
  const L = (l + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const M = (l - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const S = (l - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    encode(4.0767416621 * L - 3.3077115913 * M + 0.2309699292 * S),
    encode(-1.2684380046 * L + 2.6097574011 * M - 0.3413193965 * S),
    encode(-0.0041960863 * L - 0.7034186147 * M + 1.707614701 * S),
  ];
}

/** CIE-like relative luminance of sRGB (WCAG 2), 0..1. */
export function luminance([r, g, b]: Rgb): number {
  const lin = (v: number) => {
    const s = v / 255;
    return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * lin(r) + 0.7152 * lin(g) + 0.0722 * lin(b);
}

export const mixOklch = (from: Oklch, to: Oklch, t: number): Oklch => ({
  l: from.l + (to.l - from.l) * t,
  c: from.c + (to.c - from.c) * t,
  h: from.h + (to.h - from.h) * t,
});

export const css = ([r, g, b]: Rgb, alpha = 1): string =>
  alpha === 1 ? `rgb(${r} ${g} ${b})` : `rgb(${r} ${g} ${b} / ${alpha})`;
