/** What stands in place of a figure that is not known. */
export const UNKNOWN = '–';

const formats = new Map<number, Intl.NumberFormat>();

/** `1 234.5` with a fixed number of decimals, so that the width does not jump; – if unknown. */
export function formatNumber(value: number | null | undefined, decimals = 0): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  let format = formats.get(decimals);
  if (!format) {
    format = new Intl.NumberFormat('en', {
      minimumFractionDigits: decimals,
      maximumFractionDigits: decimals,
      useGrouping: 'always' as unknown as boolean,
    });
    formats.set(decimals, format);
  }
  // Narrow no-break space groups by ISO 31; a hyphen minus becomes a real minus; no "-0".
  const text = format.format(value).replaceAll(',', '\u202f').replace('-', '\u2212');
  return /[1-9]/.test(text) ? text : text.replace('\u2212', '');
}

/** Large rates short: 950, 12.4k, 1.2M. */
export function formatCompact(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return UNKNOWN;
  if (Math.abs(value) < 9_999.5) return formatNumber(value);
  if (Math.abs(value) < 999_950) return `${formatNumber(value / 1_000, 1)}k`;
  return `${formatNumber(value / 1_000_000, 1)}M`;
}

const COMPASS = ['N', 'NE', 'E', 'SE', 'S', 'SW', 'W', 'NW'] as const;

/** `NE 47°`; – if unknown. */
export function formatHeading(degrees: number | null | undefined): string {
  if (degrees === null || degrees === undefined || !Number.isFinite(degrees)) return UNKNOWN;
  const turned = ((degrees % 360) + 360) % 360;
  const rounded = Math.round(turned) % 360;
  return `${COMPASS[Math.round(turned / 45) % 8]} ${rounded}°`;
}

/** `OnScene` and `on_scene` to `On scene`. */
export function humanize(text: string | null | undefined): string {
  if (!text) return UNKNOWN;
  const spaced = text
    .replace(/[_-]+/g, ' ')
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .trim();
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}
