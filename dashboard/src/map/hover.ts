import { create } from 'zustand';

/** What the pointer is over on the map; the tooltip card reads it. */
export type Hovered =
  | { kind: 'vehicle'; id: string }
  | { kind: 'incident'; id: string }
  | { kind: 'alert'; id: string }
  | { kind: 'station'; id: string }
  | { kind: 'camera'; id: string }
  | { kind: 'fence'; id: string }
  | { kind: 'street'; id: string };

interface HoverState {
  at: { x: number; y: number } | null;
  hovered: Hovered | null;
}

export const useHover = create<HoverState>()(() => ({ at: null, hovered: null }));

export function hover(hovered: Hovered | null, x = 0, y = 0): void {
  if (!hovered && !useHover.getState().hovered) return;
  useHover.setState({ hovered, at: hovered ? { x, y } : null });
}
