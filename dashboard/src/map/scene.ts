import type { MapboxOverlay } from '@deck.gl/mapbox';
import type { Map as MapLibreMap } from 'maplibre-gl';
import type { Incident } from '../api/types';
import { leaving, sweepLeaving, tracks, trail, vehicles } from '../state/fleet';
import { useLive } from '../state/live';
import { useUi } from '../state/ui';
import type { ThemeName } from '../theme/scales';
import { lookOffset } from './camera';
import { FleetBuffers } from './fleet-buffers';
import { poseAt } from './glide';
import { type Atlas, incidentAtlas, vehicleAtlas } from './icons';
import { buildLayers, type Scene } from './layers';
import { PALETTES } from './palette';

const PULSE_MS = 1_200;
const PULSES = 3;
/** With reduced motion nothing glides: the picture steps to each fix as it comes. */
const CALM_FRAME_MS = 500;

const FOLLOW_ZOOM = 15.5;

export interface SceneOptions {
  theme: ThemeName;
  scale: number;
  calm: boolean;
}

/**
 * Draws the moving part of the map: reads the stores, fills the buffers and hands new
 * layers to deck.gl once per animation frame. Lives outside of React.
 */
export class SceneLoop {
  readonly fleet = new FleetBuffers();
  fps = 0;
  private options: SceneOptions;
  private readonly vehicleIcons = vehicleAtlas();
  private readonly incidentIcons: Record<ThemeName, Atlas> = {
    dark: incidentAtlas('dark'),
    light: incidentAtlas('light'),
  };
  /** When each incident was first seen; those of the first snapshot are not news. */
  private readonly firstSeen_ms = new Map<string, number>();
  private incidentsSeen: readonly Incident[] | null = null;
  private frame = 0;
  /** Arrival of the fix the view last set out for, while it follows a vehicle. */
  private followed_ms = 0;
  private lastFrame_ms = 0;

  constructor(
    private readonly map: MapLibreMap,
    private readonly overlay: MapboxOverlay,
    options: SceneOptions,
  ) {
    this.options = options;
  }

  setOptions(options: SceneOptions): void {
    this.options = options;
    this.lastFrame_ms = 0;
  }

  start(): void {
    this.frame = requestAnimationFrame(this.tick);
  }

  stop(): void {
    cancelAnimationFrame(this.frame);
  }

  private tick = (now_ms: number): void => {
    this.frame = requestAnimationFrame(this.tick);
    const elapsed_ms = now_ms - this.lastFrame_ms;
    if (this.options.calm && elapsed_ms < CALM_FRAME_MS) return;
    if (this.lastFrame_ms > 0) this.fps += ((1_000 / elapsed_ms || 0) - this.fps) * 0.05;
    this.lastFrame_ms = now_ms;
    sweepLeaving(now_ms);
    this.follow();
    // In calm mode every vehicle stands at the end of its glide.
    const glide_ms = this.options.calm ? Number.POSITIVE_INFINITY : now_ms;
    this.overlay.setProps({ layers: buildLayers(this.scene(glide_ms, now_ms)) });
  };

  /** One even move per fix, as long as the glide, so that the vehicle stands still on screen. */
  private follow(): void {
    const { selection, following } = useUi.getState();
    const track = following && selection?.kind === 'vehicle' ? tracks.get(selection.id) : undefined;
    if (!track) this.followed_ms = 0;
    if (!track || track.arrived_ms === this.followed_ms) return;
    // Comes close once, at the start; after that the zoom is the operator's.
    const zoom = this.followed_ms === 0 ? Math.max(this.map.getZoom(), FOLLOW_ZOOM) : this.map.getZoom();
    this.followed_ms = track.arrived_ms;
    this.map.easeTo({
      center: [track.fix.lon, track.fix.lat],
      zoom,
      offset: lookOffset(),
      duration: this.options.calm ? 0 : Math.max(300, track.duration_ms),
      easing: (t) => t,
      essential: true,
    });
  }

  private scene(glide_ms: number, now_ms: number): Scene {
    const { theme, scale } = this.options;
    const live = useLive.getState();
    const ui = useUi.getState();
    this.fleet.fill(tracks, leaving, now_ms, glide_ms, { theme, halo: PALETTES[theme].halo });
    return {
      fleet: this.fleet,
      incidents: live.incidents,
      pulses: this.pulses(live.incidents, now_ms),
      alerts: live.alerts,
      stations: live.stations,
      cameras: live.cameras,
      visible: ui.layers,
      theme,
      scale,
      zoom: this.map.getZoom(),
      vehicleIcons: this.vehicleIcons,
      incidentIcons: this.incidentIcons[theme],
      ...this.selection(glide_ms),
    };
  }

  private selection(glide_ms: number): Pick<Scene, 'selected' | 'trail'> {
    const { selection } = useUi.getState();
    if (selection?.kind === 'incident') {
      const incident = useLive.getState().incidents.find((i) => i.incident_id === selection.id);
      return {
        selected: incident ? { lon: incident.longitude, lat: incident.latitude } : null,
        trail: [],
      };
    }
    if (selection?.kind === 'alert') {
      const alert = useLive.getState().alerts.find((each) => each.alert_id === selection.id);
      const { latitude: lat, longitude: lon } = alert ?? {};
      return { selected: lat !== undefined && lon !== undefined ? { lon, lat } : null, trail: [] };
    }
    const track = selection && tracks.get(selection.id);
    if (!track) return { selected: null, trail: trail.id === selection?.id ? trail.points : [] };
    const pose = poseAt(track, glide_ms);
    // The newest fixes have not been reached by the drawn vehicle: its trail ends where it is.
    const reached =
      trail.id === selection.id ? trail.points.slice(0, 1 - track.path.length || undefined) : [];
    return {
      selected: { lon: pose.lon, lat: pose.lat },
      trail: [...reached, { longitude: pose.lon, latitude: pose.lat }],
    };
  }

  private pulses(incidents: readonly Incident[], now_ms: number): Scene['pulses'] {
    if (incidents !== this.incidentsSeen) this.notice(incidents, now_ms);
    if (this.options.calm) return [];
    const pulsing: { incident: Incident; share: number }[] = [];
    for (const incident of incidents) {
      const age_ms = now_ms - (this.firstSeen_ms.get(incident.incident_id) ?? Number.NEGATIVE_INFINITY);
      if (age_ms < PULSE_MS * PULSES) pulsing.push({ incident, share: (age_ms % PULSE_MS) / PULSE_MS });
    }
    return pulsing;
  }

  private notice(incidents: readonly Incident[], now_ms: number): void {
    const first = this.incidentsSeen === null || !useLive.getState().incidentsKnown;
    this.incidentsSeen = useLive.getState().incidentsKnown ? incidents : null;
    for (const { incident_id } of incidents) {
      if (!this.firstSeen_ms.has(incident_id)) {
        this.firstSeen_ms.set(incident_id, first ? Number.NEGATIVE_INFINITY : now_ms);
      }
    }
    if (this.firstSeen_ms.size > 4 * incidents.length + 100) {
      const active = new Set(incidents.map((incident) => incident.incident_id));
      for (const id of this.firstSeen_ms.keys()) if (!active.has(id)) this.firstSeen_ms.delete(id);
    }
  }

  /** The vehicle drawn at a picked row. */
  idAt(index: number): string | null {
    const id = this.fleet.ids[index];
    return id !== undefined && vehicles.has(id) ? id : null;
  }
}
