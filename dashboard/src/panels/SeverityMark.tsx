import { SEVERITY_MARKS, SEVERITY_SHAPES } from '../map/shapes';
import { css } from '../theme/oklch';
import { type Severity, severityColor } from '../theme/scales';
import { useThemeName } from '../theme/use-theme';

/** The same symbol as on the map. */
export function SeverityMark({ severity, size = 1.25 }: { severity: Severity; size?: number }) {
  const theme = useThemeName();
  const ink = severity === 'critical' ? '#fff' : theme === 'dark' ? '#0a0f1c' : '#fffdf8';
  return (
    <svg
      viewBox="0 0 32 32"
      style={{ width: `${size}rem`, height: `${size}rem`, flex: 'none' }}
      aria-hidden="true"
    >
      <path d={SEVERITY_SHAPES[severity]} fill={css(severityColor(severity, theme))} />
      <path d={SEVERITY_MARKS[severity]} fill={ink} />
    </svg>
  );
}
