import type { ReactNode } from 'react';
import { useLive } from '../state/live';
import { type SheetTab, useUi } from '../state/ui';
import styles from './BottomSheet.module.css';
import { Icon } from './Icon';
import { IncidentsPanel } from './IncidentsPanel';
import { LayersPanel } from './LayersPanel';
import { VehiclePanel } from './VehiclePanel';

function Tab({ tab, icon, children }: { tab: SheetTab; icon: 'incident' | 'layers'; children: ReactNode }) {
  const active = useUi((ui) => ui.sheetOpen && ui.sheetTab === tab);
  const toggle = () => (active ? useUi.getState().closeSheet() : useUi.getState().openSheet(tab));
  return (
    <button type="button" className={styles.tab} aria-expanded={active} onClick={toggle}>
      <Icon name={icon} />
      {children}
    </button>
  );
}

/** On a narrow screen the panels share one sheet at the thumb's end of the page. */
export function BottomSheet() {
  const selection = useUi((ui) => ui.selection);
  const open = useUi((ui) => ui.sheetOpen);
  const tab = useUi((ui) => ui.sheetTab);
  const incidents = useLive((live) => live.incidents.length);
  const vehicle = selection?.kind === 'vehicle' && !open ? selection.id : null;
  return (
    <div className={styles.sheet}>
      {vehicle && (
        <section className={styles.body} aria-label={`Vehicle ${vehicle}`}>
          <header className={styles.header}>
            <h2>{vehicle}</h2>
            <button
              type="button"
              className={styles.close}
              onClick={() => useUi.getState().select(null)}
              aria-label="Close vehicle"
            >
              <Icon name="close" />
            </button>
          </header>
          <VehiclePanel id={vehicle} />
        </section>
      )}
      {open && (
        <section className={styles.body} aria-label={tab === 'incidents' ? 'Incidents' : 'Layers and legend'}>
          {tab === 'incidents' ? <IncidentsPanel /> : <LayersPanel />}
        </section>
      )}
      <nav className={styles.tabs} aria-label="Panels">
        <Tab tab="incidents" icon="incident">
          Incidents <span className={styles.badge}>{incidents}</span>
        </Tab>
        <Tab tab="layers" icon="layers">
          Layers
        </Tab>
      </nav>
    </div>
  );
}
