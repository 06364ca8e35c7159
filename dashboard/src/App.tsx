import { useEffect } from 'react';
import styles from './App.module.css';
import { UNKNOWN } from './format/number';
import { CityMap } from './map/CityMap';
import { AlertsPanel } from './panels/AlertsPanel';
import { BottomSheet } from './panels/BottomSheet';
import { HoverCard } from './panels/HoverCard';
import { Icon } from './panels/Icon';
import { IncidentsPanel } from './panels/IncidentsPanel';
import { LayersPanel } from './panels/LayersPanel';
import { MapControls } from './panels/MapControls';
import { Notices } from './panels/Notices';
import { Panel } from './panels/Panel';
import { TopBar } from './panels/TopBar';
import { VehiclePanel } from './panels/VehiclePanel';
import { useLive } from './state/live';
import { loadMap } from './state/loads';
import { startSession, stopSession } from './state/session';
import { useUi } from './state/ui';
import { useNarrow, useThemeOnDocument } from './theme/use-theme';

/** Escape puts away what was opened last. */
function useEscape(): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== 'Escape') return;
      const ui = useUi.getState();
      if (ui.sheetOpen) ui.closeSheet();
      else if (ui.selection) ui.select(null);
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
}

function SidePanels() {
  const layersOpen = useUi((ui) => ui.layersOpen);
  const incidentsOpen = useUi((ui) => ui.incidentsOpen);
  const setPanel = useUi((ui) => ui.setPanel);
  const selection = useUi((ui) => ui.selection);
  const select = useUi((ui) => ui.select);
  const incidents = useLive((live) => (live.incidentsKnown ? live.incidents.length : UNKNOWN));
  const alertsOpen = useUi((ui) => ui.alertsOpen);
  const alerts = useLive((live) => (live.alertsKnown ? live.alerts.length : UNKNOWN));
  return (
    <>
      <div className={styles.left}>
        {layersOpen ? (
          <Panel
            title="Layers"
            onClose={() => setPanel('layersOpen', false)}
            closeLabel="Put the layers away"
          >
            <LayersPanel />
          </Panel>
        ) : (
          <button type="button" className={styles.opener} onClick={() => setPanel('layersOpen', true)}>
            <Icon name="layers" /> Layers
          </button>
        )}
        <div className={styles.below}>
          <MapControls narrow={false} />
        </div>
      </div>
      <div className={styles.right}>
        {selection?.kind === 'vehicle' && (
          <Panel
            title={selection.id}
            onClose={() => select(null)}
            closeLabel="Close the vehicle"
            className={styles.keep}
          >
            <VehiclePanel id={selection.id} />
          </Panel>
        )}
        {incidentsOpen ? (
          <Panel
            title="Incidents"
            badge={<span className={styles.badge}>{incidents}</span>}
            onClose={() => setPanel('incidentsOpen', false)}
            closeLabel="Put the incidents away"
          >
            <IncidentsPanel />
          </Panel>
        ) : (
          <button type="button" className={styles.opener} onClick={() => setPanel('incidentsOpen', true)}>
            <Icon name="incident" /> Incidents <span className={styles.badge}>{incidents}</span>
          </button>
        )}
        {alertsOpen ? (
          <Panel
            title="Alerts"
            badge={<span className={styles.badge}>{alerts}</span>}
            onClose={() => setPanel('alertsOpen', false)}
            closeLabel="Put the alerts away"
          >
            <AlertsPanel />
          </Panel>
        ) : (
          <button type="button" className={styles.opener} onClick={() => setPanel('alertsOpen', true)}>
            <Icon name="alert" /> Alerts <span className={styles.badge}>{alerts}</span>
          </button>
        )}
      </div>
    </>
  );
}

export function App() {
  useThemeOnDocument();
  useEscape();
  const narrow = useNarrow();
  const sheetOpen = useUi((ui) => ui.sheetOpen);
  const city = useLive((live) => live.city);
  const cityLoad = useLive((live) => live.cityLoad);

  useEffect(() => {
    startSession();
    void loadMap();
    return stopSession;
  }, []);

  return (
    <div className={styles.app}>
      <main className={styles.map} aria-label="Map of the city">
        {/* The first view depends on where the city is; without an answer it is the world. */}
        {cityLoad.phase !== 'loading' && <CityMap key={city ? 'city' : 'world'} city={city} />}
        <HoverCard />
      </main>
      <div className={styles.chrome}>
        <TopBar />
        <section className={styles.middle} aria-label="Panels">
          {!narrow && <SidePanels />}
          <div className={styles.notices}>
            <Notices />
          </div>
          {narrow && !sheetOpen && (
            <div className={styles.controls}>
              <MapControls narrow />
            </div>
          )}
          <p className={styles.attribution}>
            <a href="https://www.openstreetmap.org/copyright" target="_blank" rel="noreferrer">
              © OpenStreetMap contributors
            </a>
          </p>
        </section>
        {narrow && <BottomSheet />}
      </div>
    </div>
  );
}
