import { create } from 'zustand';

export const LAYERS = [
  'vehicles',
  'congestion',
  'incidents',
  'alerts',
  'fences',
  'weather',
  'cameras',
  'labels',
] as const;
export type LayerName = (typeof LAYERS)[number];

export type ThemePreference = 'system' | 'dark' | 'light';

export type Selection = { kind: 'vehicle' | 'incident' | 'alert'; id: string } | null;

/** What the narrow screen's sheet shows. */
export type SheetTab = 'incidents' | 'alerts' | 'layers';

interface Remembered {
  theme: ThemePreference;
  layers: Record<LayerName, boolean>;
  layersOpen: boolean;
  incidentsOpen: boolean;
  alertsOpen: boolean;
}

export interface UiState extends Remembered {
  selection: Selection;
  /** The view goes with the selected vehicle, until someone moves the map. */
  following: boolean;
  sheetTab: SheetTab;
  sheetOpen: boolean;
  setTheme(theme: ThemePreference): void;
  toggleLayer(layer: LayerName): void;
  setPanel(panel: 'layersOpen' | 'incidentsOpen' | 'alertsOpen', open: boolean): void;
  select(selection: Selection): void;
  follow(following: boolean): void;
  openSheet(tab: SheetTab): void;
  closeSheet(): void;
}

const STORAGE_KEY = 'citypulse.ui.v1';

const defaults: Remembered = {
  theme: 'system',
  layers: {
    vehicles: true,
    congestion: true,
    incidents: true,
    alerts: true,
    fences: true,
    weather: false,
    cameras: false,
    labels: true,
  },
  layersOpen: true,
  incidentsOpen: true,
  alertsOpen: false,
};

function recall(): Remembered {
  try {
    const stored = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? '{}') as Partial<Remembered>;
    return { ...defaults, ...stored, layers: { ...defaults.layers, ...stored.layers } };
  } catch {
    // Storage is switched off or holds something else: the defaults serve.
    return defaults;
  }
}

function remember({ theme, layers, layersOpen, incidentsOpen, alertsOpen }: UiState): void {
  try {
    const remembered: Remembered = { theme, layers, layersOpen, incidentsOpen, alertsOpen };
    localStorage.setItem(STORAGE_KEY, JSON.stringify(remembered));
  } catch {
    // Not remembered, nothing else lost.
  }
}

export const useUi = create<UiState>()((set) => ({
  ...recall(),
  selection: null,
  following: false,
  sheetTab: 'incidents',
  sheetOpen: false,
  setTheme: (theme) => set({ theme }),
  toggleLayer: (layer) => set((ui) => ({ layers: { ...ui.layers, [layer]: !ui.layers[layer] } })),
  setPanel: (panel, open) => set({ [panel]: open }),
  select: (selection) => set({ selection, following: false }),
  follow: (following) => set({ following }),
  openSheet: (sheetTab) => set({ sheetTab, sheetOpen: true }),
  closeSheet: () => set({ sheetOpen: false }),
}));

useUi.subscribe(remember);
