import { flyToBounds, northUp, zoomBy } from '../map/camera';
import { useLive } from '../state/live';
import { Icon } from './Icon';
import button from './IconButton.module.css';
import styles from './MapControls.module.css';

/** On a narrow screen fingers zoom, and the room is the map's. */
export function MapControls({ narrow }: { narrow: boolean }) {
  const city = useLive((live) => live.city);
  return (
    <fieldset className={styles.controls} aria-label="Map view">
      {!narrow && (
        <>
          <button type="button" className={button.button} onClick={() => zoomBy(1)} aria-label="Zoom in">
            <Icon name="plus" />
          </button>
          <button type="button" className={button.button} onClick={() => zoomBy(-1)} aria-label="Zoom out">
            <Icon name="minus" />
          </button>
        </>
      )}
      <button type="button" className={button.button} onClick={northUp} aria-label="Turn north up">
        <Icon name="north" />
      </button>
      {city && (
        <button
          type="button"
          className={button.button}
          onClick={() => flyToBounds(city.bounds)}
          aria-label={`Show all of ${city.name}`}
          title={`Show all of ${city.name}`}
        >
          <Icon name="home" />
        </button>
      )}
    </fieldset>
  );
}
