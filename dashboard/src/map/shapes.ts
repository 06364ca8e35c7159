import type { Severity } from '../theme/scales';

/**
 * The symbols' outlines, on a 32 x 32 grid, as SVG paths: the same drawing serves the map's
 * icon atlas (through Path2D) and the panels (through <path>).
 */

/** A teardrop which points north. */
export const ARROW = 'M16 2 C18 8 25 17 25 22.5 C25 27 21 29 16 29 C11 29 7 27 7 22.5 C7 17 14 8 16 2 Z';

export const DOT = 'M16 8 A8 8 0 1 1 16 24 A8 8 0 1 1 16 8 Z';

/** Shape tells the severity too: the more corners point outwards, the worse. */
export const SEVERITY_SHAPES: Record<Severity, string> = {
  critical: 'M16 1.5 L30.5 16 L16 30.5 L1.5 16 Z',
  high: 'M16 3 L30 28 L2 28 Z',
  medium: 'M8 5 H24 Q27 5 27 8 V24 Q27 27 24 27 H8 Q5 27 5 24 V8 Q5 5 8 5 Z',
  low: 'M16 5 A11 11 0 1 1 16 27 A11 11 0 1 1 16 5 Z',
};

/** The exclamation mark inside: stem and dot. The calmer severities do without. */
export const SEVERITY_MARKS: Record<Severity, string> = {
  critical: 'M14.2 8.5 H17.8 L17.2 18 H14.8 Z M16 20 A2 2 0 1 1 16 24 A2 2 0 1 1 16 20 Z',
  high: 'M14.3 11.5 H17.7 L17.1 19.6 H14.9 Z M16 21.4 A1.8 1.8 0 1 1 16 25 A1.8 1.8 0 1 1 16 21.4 Z',
  medium: 'M10 14.4 H22 V17.6 H10 Z',
  low: 'M16 12.4 A3.6 3.6 0 1 1 16 19.6 A3.6 3.6 0 1 1 16 12.4 Z',
};

/** A camera seen from above, its field of view opening north. */
export const CAMERA =
  'M16 27 A5 5 0 1 1 16 17 A5 5 0 1 1 16 27 Z M11.5 14.5 L6 4 H26 L20.5 14.5 Q16 11.5 11.5 14.5 Z';
