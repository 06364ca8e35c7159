/** The chrome's few line icons, 20 x 20, drawn with the text's own colour. */

const PATHS = {
  layers: 'M10 3 L17 7 L10 11 L3 7 Z M3 10.5 L10 14.5 L17 10.5 M3 13.8 L10 17.8 L17 13.8',
  close: 'M5 5 L15 15 M15 5 L5 15',
  minus: 'M4.5 10 H15.5',
  plus: 'M4.5 10 H15.5 M10 4.5 V15.5',
  home: 'M3.5 7.5 V4.5 Q3.5 3.5 4.5 3.5 H7.5 M12.5 3.5 H15.5 Q16.5 3.5 16.5 4.5 V7.5 M16.5 12.5 V15.5 Q16.5 16.5 15.5 16.5 H12.5 M7.5 16.5 H4.5 Q3.5 16.5 3.5 15.5 V12.5',
  north: 'M10 2.5 L14.5 16 L10 13.2 L5.5 16 Z',
  moon: 'M16 12.2 A6.8 6.8 0 1 1 8.2 3.8 A5.4 5.4 0 0 0 16 12.2 Z',
  sun: 'M10 6.6 A3.4 3.4 0 1 1 10 13.4 A3.4 3.4 0 1 1 10 6.6 Z M10 1.8 V3.6 M10 16.4 V18.2 M1.8 10 H3.6 M16.4 10 H18.2 M4.2 4.2 L5.5 5.5 M14.5 14.5 L15.8 15.8 M4.2 15.8 L5.5 14.5 M14.5 5.5 L15.8 4.2',
  incident: 'M10 3 L17.5 16.5 H2.5 Z M10 8 V11.5 M10 13.6 V14',
  alert:
    'M10 3 A4.6 4.6 0 0 1 14.6 7.6 C14.6 11.6 16.4 13 16.4 13.8 H3.6 C3.6 13 5.4 11.6 5.4 7.6 A4.6 4.6 0 0 1 10 3 Z M8.3 16.6 Q10 18 11.7 16.6',
  check: 'M4.5 10.5 L8.5 14.5 L15.5 6',
  chevron: 'M5 12.5 L10 7.5 L15 12.5',
  retry: 'M15.8 8 A6.2 6.2 0 1 0 16.2 11.6 M16.2 3.8 V8 H12',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 1.25 }: { name: IconName; size?: number }) {
  return (
    <svg
      viewBox="0 0 20 20"
      width={`${size}rem`}
      height={`${size}rem`}
      style={{ width: `${size}rem`, height: `${size}rem`, flex: 'none' }}
      fill="none"
      stroke="currentColor"
      strokeWidth="1.6"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
