import type { ReactNode } from 'react';
import { UNKNOWN } from '../format/number';
import { useLive } from '../state/live';
import { type SheetTab, useUi } from '../state/ui';
import { AlertRow, AlertsPanel } from './AlertsPanel';
import styles from './BottomSheet.module.css';
import { Icon } from './Icon';
import { IncidentRow, IncidentsPanel } from './IncidentsPanel';
import { LayersPanel } from './LayersPanel';
import { useNow } from './use-now';
import { VehiclePanel } from './VehiclePanel';

function Tab({
  tab,
  icon,
  children,
}: {
  tab: SheetTab;
  icon: 'incident' | 'alert' | 'layers';
  children: ReactNode;
}) {
  const active = useUi((ui) => ui.sheetOpen && ui.sheetTab === tab);
  const toggle = () => (active ? useUi.getState().closeSheet() : useUi.getState().openSheet(tab));
  return (
    <button type="button" className={styles.tab} aria-expanded={active} onClick={toggle}>
      <Icon name={icon} />
      {children}
    </button>
  );
}

function IncidentCard({ id }: { id: string }) {
  const incident = useLive((live) => live.incidents.find((each) => each.incident_id === id));
  const now_ms = useNow();
  if (!incident) return <p className={styles.over}>This incident is resolved.</p>;
  return <IncidentRow incident={incident} now_ms={now_ms} />;
}

function AlertCard({ id }: { id: string }) {
  const alert = useLive((live) => live.alerts.find((each) => each.alert_id === id));
  const now_ms = useNow();
  if (!alert) return <p className={styles.over}>This alert is cleared.</p>;
  return <AlertRow alert={alert} now_ms={now_ms} />;
}

const CARD_TITLES = { incident: 'Incident', alert: 'Alert' } as const;
const SHEET_TITLES: Record<SheetTab, string> = {
  incidents: 'Incidents',
  alerts: 'Alerts',
  layers: 'Layers and legend',
};

/** On a narrow screen the panels share one sheet at the thumb's end of the page. */
export function BottomSheet() {
  const selection = useUi((ui) => ui.selection);
  const open = useUi((ui) => ui.sheetOpen);
  const tab = useUi((ui) => ui.sheetTab);
  const incidents = useLive((live) => (live.incidentsKnown ? live.incidents.length : UNKNOWN));
  const alerts = useLive((live) => (live.alertsKnown ? live.alerts.length : UNKNOWN));
  const shown = open ? null : selection;
  return (
    <div className={styles.sheet}>
      {shown && (
        <section
          className={styles.body}
          aria-label={shown.kind === 'vehicle' ? `Vehicle ${shown.id}` : CARD_TITLES[shown.kind]}
        >
          <header className={styles.header}>
            <h2>{shown.kind === 'vehicle' ? shown.id : CARD_TITLES[shown.kind]}</h2>
            <button
              type="button"
              className={styles.close}
              onClick={() => useUi.getState().select(null)}
              aria-label="Close"
            >
              <Icon name="close" />
            </button>
          </header>
          {shown.kind === 'vehicle' && <VehiclePanel id={shown.id} />}
          {shown.kind === 'incident' && <IncidentCard id={shown.id} />}
          {shown.kind === 'alert' && <AlertCard id={shown.id} />}
        </section>
      )}
      {open && (
        <section className={styles.body} aria-label={SHEET_TITLES[tab]}>
          {tab === 'incidents' && <IncidentsPanel />}
          {tab === 'alerts' && <AlertsPanel />}
          {tab === 'layers' && <LayersPanel />}
        </section>
      )}
      <nav className={styles.tabs} aria-label="Panels">
        <Tab tab="incidents" icon="incident">
          Incidents <span className={styles.badge}>{incidents}</span>
        </Tab>
        <Tab tab="alerts" icon="alert">
          Alerts <span className={styles.badge}>{alerts}</span>
        </Tab>
        <Tab tab="layers" icon="layers">
          Layers
        </Tab>
      </nav>
    </div>
  );
}
