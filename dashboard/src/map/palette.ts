import type { ThemeName } from '../theme/scales';

/** Colours of the map itself: quiet, so that the data on it has the colour. */
export interface MapPalette {
  street: {
    motorway: string;
    main: string;
    secondary: string;
    tertiary: string;
    local: string;
    minor: string;
  };
  label: string;
  labelHalo: string;
  /** Outline around symbols, RGB. */
  halo: [number, number, number];
  /** Quiet symbols: stations and cameras, RGB. */
  quiet: [number, number, number];
  /** What is selected, RGB. */
  accent: [number, number, number];
  /** The way a selected vehicle came, RGB. */
  trail: [number, number, number];
  chip: [number, number, number, number];
}

export const PALETTES: Record<ThemeName, MapPalette> = {
  dark: {
    street: {
      motorway: '#4a6cab',
      main: '#3f5f9c',
      secondary: '#345088',
      tertiary: '#294375',
      local: '#203660',
      minor: '#172747',
    },
    label: '#8fa3c8',
    labelHalo: '#070d1c',
    halo: [4, 8, 18],
    quiet: [142, 162, 200],
    accent: [138, 180, 255],
    trail: [236, 242, 255],
    chip: [16, 26, 48, 225],
  },
  light: {
    street: {
      motorway: '#9c9686',
      main: '#aca696',
      secondary: '#bcb6a7',
      tertiary: '#cac4b6',
      local: '#d8d2c5',
      minor: '#e4dfd4',
    },
    label: '#5d584c',
    labelHalo: '#f5f2ea',
    halo: [255, 253, 248],
    quiet: [94, 92, 84],
    accent: [31, 88, 200],
    trail: [31, 88, 200],
    chip: [255, 253, 248, 235],
  },
};
