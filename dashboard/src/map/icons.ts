import { css } from '../theme/oklch';
import { SEVERITIES, severityColor, type ThemeName } from '../theme/scales';
import { PALETTES } from './palette';
import { ARROW, CAMERA, DOT, SEVERITY_MARKS, SEVERITY_SHAPES } from './shapes';

const CELL = 96;
const GRID = 32;

export interface IconMapping {
  [name: string]: { x: number; y: number; width: number; height: number; mask: boolean };
}

export interface Atlas {
  image: HTMLCanvasElement;
  mapping: IconMapping;
}

type Draw = (context: CanvasRenderingContext2D) => void;

function atlas(cells: Record<string, { mask: boolean; draw: Draw }>): Atlas {
  const names = Object.keys(cells);
  const image = document.createElement('canvas');
  image.width = CELL * names.length;
  image.height = CELL;
  const context = image.getContext('2d');
  if (!context) throw new Error('this browser gives no 2D canvas to draw the map symbols on');
  const mapping: IconMapping = {};
  names.forEach((name, index) => {
    const cell = cells[name];
    if (!cell) return;
    context.save();
    context.translate(index * CELL, 0);
    // A margin of 1/12 keeps neighbours from bleeding in when the texture is shrunk.
    context.translate(CELL / 12, CELL / 12);
    context.scale((CELL * (10 / 12)) / GRID, (CELL * (10 / 12)) / GRID);
    cell.draw(context);
    context.restore();
    mapping[name] = { x: index * CELL, y: 0, width: CELL, height: CELL, mask: cell.mask };
  });
  return { image, mapping };
}

const fill =
  (path: string, style = '#fff'): Draw =>
  (context) => {
    context.fillStyle = style;
    context.fill(new Path2D(path));
  };

const outlined =
  (path: string, width: number): Draw =>
  (context) => {
    context.fillStyle = '#fff';
    context.strokeStyle = '#fff';
    context.lineWidth = width;
    context.lineJoin = 'round';
    context.fill(new Path2D(path));
    context.stroke(new Path2D(path));
  };

/** White masks, tinted on the graphics card. */
export function vehicleAtlas(): Atlas {
  return atlas({
    arrow: { mask: true, draw: fill(ARROW) },
    arrowHalo: { mask: true, draw: outlined(ARROW, 5) },
    dot: { mask: true, draw: fill(DOT) },
    dotHalo: { mask: true, draw: outlined(DOT, 5) },
    camera: { mask: true, draw: fill(CAMERA) },
  });
}

/** Full-colour incident symbols of one theme, named by severity. */
export function incidentAtlas(theme: ThemeName): Atlas {
  const halo = css(PALETTES[theme].halo);
  const cells = SEVERITIES.map((severity) => {
    const draw: Draw = (context) => {
      const shape = new Path2D(SEVERITY_SHAPES[severity]);
      context.lineJoin = 'round';
      context.strokeStyle = halo;
      context.lineWidth = 4.5;
      context.stroke(shape);
      context.fillStyle = css(severityColor(severity, theme));
      context.fill(shape);
      context.fillStyle = severity === 'critical' ? '#fff' : theme === 'dark' ? '#0a0f1c' : '#fffdf8';
      context.fill(new Path2D(SEVERITY_MARKS[severity]));
    };
    return [severity, { mask: false, draw }] as const;
  });
  return atlas(Object.fromEntries(cells));
}
