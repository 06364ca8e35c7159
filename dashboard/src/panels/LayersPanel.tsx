import type { ReactNode } from 'react';
import type { CongestionLevel } from '../api/types';
import { formatNumber, humanize } from '../format/number';
import { ARROW, CAMERA, DOT } from '../map/shapes';
import { useLive } from '../state/live';
import { type LayerName, useUi } from '../state/ui';
import { css } from '../theme/oklch';
import {
  CONGESTION_LEVELS,
  congestionColor,
  SEVERITIES,
  SPEED_SCALE_MAX_KMH,
  speedGradient,
} from '../theme/scales';
import { useThemeName } from '../theme/use-theme';
import styles from './LayersPanel.module.css';
import { SeverityMark } from './SeverityMark';

interface RowProps {
  layer: LayerName;
  name: string;
  count?: number | null;
  children?: ReactNode;
}

function Row({ layer, name, count, children }: RowProps) {
  const on = useUi((ui) => ui.layers[layer]);
  const toggle = useUi((ui) => ui.toggleLayer);
  return (
    <li className={styles.row} data-on={on}>
      <button
        type="button"
        role="switch"
        aria-checked={on}
        className={styles.toggle}
        onClick={() => toggle(layer)}
      >
        <span className={styles.name}>{name}</span>{' '}
        {count !== undefined && <span className={styles.count}>{formatNumber(count)}</span>}
        <span className={styles.switch} aria-hidden="true" />
      </button>
      {on && children}
    </li>
  );
}

function Shape({ path }: { path: string }) {
  return (
    <svg viewBox="0 0 32 32" className={styles.shape} aria-hidden="true">
      <path d={path} />
    </svg>
  );
}

/** As alerts are drawn on the map. */
function Ring() {
  return (
    <svg viewBox="0 0 32 32" className={styles.shape} aria-hidden="true">
      <circle cx="16" cy="16" r="10" fill="none" stroke="currentColor" strokeWidth="4" />
    </svg>
  );
}

function SpeedScale() {
  const theme = useThemeName();
  return (
    <div className={styles.legend}>
      <div className={styles.ramp} style={{ background: speedGradient(theme) }} />
      <div className={styles.ticks}>
        <span>0</span>
        <span>30</span>
        <span>60</span>
        <span>{SPEED_SCALE_MAX_KMH}+ km/h</span>
      </div>
      <p className={styles.shapes}>
        <Shape path={ARROW} /> drives <Shape path={DOT} /> stands
      </p>
    </div>
  );
}

function CongestionScale({
  counts,
}: {
  counts: Partial<Record<CongestionLevel, number>> | null | undefined;
}) {
  const theme = useThemeName();
  return (
    <ul className={styles.levels}>
      {CONGESTION_LEVELS.map((level, index) => (
        <li key={level}>
          <span
            className={styles.stroke}
            style={{ background: css(congestionColor(level, theme)), height: `${0.125 + index * 0.0625}rem` }}
          />
          <span>{humanize(level)}</span>
          {counts && <span className={styles.count}>{formatNumber(counts[level] ?? 0)}</span>}
        </li>
      ))}
    </ul>
  );
}

function SeverityScale() {
  return (
    <ul className={styles.severities}>
      {SEVERITIES.map((severity) => (
        <li key={severity}>
          <SeverityMark severity={severity} size={1} />
          <span>{humanize(severity)}</span>
        </li>
      ))}
    </ul>
  );
}

/** What is drawn, and how to read it: each layer's switch carries its own legend. */
export function LayersPanel() {
  const summary = useLive((live) => live.summary);
  const inView = useLive((live) => (live.vehiclesKnown ? live.vehiclesInView : null));
  const incidents = useLive((live) => (live.incidentsKnown ? live.incidents.length : null));
  const alerts = useLive((live) => (live.alertsKnown ? live.alerts.length : null));
  const fences = useLive((live) => live.fences?.features.length ?? null);
  const stations = useLive((live) => (live.everLive ? live.stations.length : null));
  const cameras = useLive((live) => (live.everLive ? live.cameras.length : null));
  return (
    <ul className={styles.rows}>
      <Row layer="vehicles" name="Vehicles in view" count={inView}>
        <SpeedScale />
      </Row>
      <Row layer="congestion" name="Congestion">
        <CongestionScale counts={summary?.congestion} />
      </Row>
      <Row layer="incidents" name="Incidents" count={incidents}>
        <SeverityScale />
      </Row>
      <Row layer="alerts" name="Alerts" count={alerts}>
        <p className={styles.note}>
          <Ring /> around what it is about, stronger the worse
        </p>
      </Row>
      <Row layer="fences" name="Geofences" count={fences} />
      <Row layer="weather" name="Weather stations" count={stations}>
        <p className={styles.note}>
          <span className={styles.chip}>8.6°</span> air temperature, °C
        </p>
      </Row>
      <Row layer="cameras" name="Traffic cameras" count={cameras}>
        <p className={styles.note}>
          <Shape path={CAMERA} /> opens to where it looks
        </p>
      </Row>
      <Row layer="labels" name="Street names" />
    </ul>
  );
}
