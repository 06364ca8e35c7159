"""Computes from the lake what the speed layer must have said, and compares.

    speed_layer.py LAKE LIVE.json LATENESS_SECONDS FAST_KMH FAST_NO_MORE_KMH

LAKE is a folder or s3://BUCKET/PREFIX (endpoint and key from the environment) with
the tables gps_data, weather_data, windows and alerts. LIVE.json is what
/api/vehicles/locations answers. The rule `fleet-fast` raises an alert where a vehicle is
faster than FAST_KMH, which is over where it is not faster than FAST_NO_MORE_KMH. Reads
the events in the order of the log and applies the definitions once more: watermark,
lateness, duplicates, panes of one minute, last position by event time, alerts. Prints
what differs, and exits with 1 if anything does.
"""
import json
import sys

import h3
import pyarrow

from delta_tables import connect

PANE_US = 60_000_000
READINGS = ("temperature", "humidity", "wind_speed", "precipitation", "visibility", "air_quality_index")

# Of every partition by offset: the watermark that each event meets, itself included.
# Event times are never ahead of the log's clock here, so they alone make it. An event
# whose minute has been passed is late; of one device's events with one id the first counts.
JUDGED = """
CREATE TEMP TABLE judged_{table} AS
WITH watermarked AS (
  SELECT *, epoch_us(timestamp) AS us,
    max(epoch_us(timestamp)) OVER (PARTITION BY log_partition ORDER BY log_offset) - {lateness_us} AS watermark_us
  FROM delta_scan('{path}')
), paned AS (
  SELECT *, us - us % {pane_us} AS pane_us, us - us % {pane_us} + {pane_us} <= watermark_us AS late
  FROM watermarked
)
SELECT *, row_number() OVER (PARTITION BY device_id, id, late ORDER BY log_offset) AS occurrence
FROM paned
"""


def judge(connection, lake, table, lateness_us):
    path = f"{lake}/{table}"
    connection.execute(JUDGED.format(table=table, path=path, lateness_us=lateness_us, pane_us=PANE_US))


def expected_panes(connection):
    """(kind, key, start) -> (count, mean, min, max, p50, p90, p99, vehicles)"""
    quantiles = ", ".join(f"quantile_disc({{v}}, {q})" for q in (0.5, 0.9, 0.99))
    figures = f"count(*), avg({{v}}), min({{v}}), max({{v}}), {quantiles}, count(DISTINCT device_id)"
    fixes = "judged_gps_data WHERE NOT late AND occurrence = 1 AND NOT (latitude = 0 AND longitude = 0)"
    panes = {}
    places = connection.execute(f"SELECT DISTINCT latitude, longitude FROM {fixes}").fetchall()
    cells = pyarrow.table(
        {
            "latitude": [place[0] for place in places],
            "longitude": [place[1] for place in places],
            "cell": [h3.latlng_to_cell(*place, 8) for place in places],
        }
    )
    connection.register("cells", cells)
    fixes = f"(SELECT * FROM {fixes}) JOIN cells USING (latitude, longitude)"
    keys = (("city", "'speed'"), ("cell", "cell"))
    for kind, key in keys:
        rows = connection.execute(
            f"SELECT {key}, pane_us, {figures.format(v='speed')} FROM {fixes} GROUP BY 1, 2"
        ).fetchall()
        panes |= {(kind, row[0], row[1]): row[2:] for row in rows}
    readings = "judged_weather_data WHERE NOT late AND occurrence = 1"
    for reading in READINGS:
        rows = connection.execute(
            f"""SELECT device_id || ':{reading}', pane_us, {figures.format(v=reading)} FROM {readings}
                AND {reading} IS NOT NULL GROUP BY 1, 2"""
        ).fetchall()
        panes |= {("station", row[0], row[1]): row[2:] for row in rows}
    return panes


def said_panes(connection, lake):
    """Closed windows. A correction has the id of what it corrects: the last one counts."""
    rows = connection.execute(
        f"""SELECT kind, key, epoch_us(timestamp), count, mean, min, max, p50, p90, p99, vehicles, id
            FROM delta_scan('{lake}/windows') WHERE kind <> 'segment'
            QUALIFY row_number() OVER (PARTITION BY id ORDER BY log_offset DESC) = 1"""
    ).fetchall()
    return rows


def near(a, b, share):
    return a is not None and b is not None and abs(a - b) <= share * max(abs(a), abs(b), 1e-9)


def differs(expected, said):
    """What is not as expected. Moments are exact, a quantile is within the 1 % that the
    sketch promises."""
    names = ("count", "mean", "min", "max", "p50", "p90", "p99", "vehicles")
    for name, want, got in zip(names, expected, said):
        if name in ("count", "vehicles"):
            same = got is None and name == "vehicles" or want == got
        else:
            same = near(want, got, 0.0101 if name.startswith("p") else 1e-9)
        if not same:
            return f"{name} is {got}, expected {want}"
    return None


def compare_panes(connection, lake, open_from_us):
    expected = {key: pane for key, pane in expected_panes(connection).items() if key[2] < open_from_us}
    problems, seen = [], set()
    for kind, key, start, *figures, pane_id in said_panes(connection, lake):
        if start >= open_from_us:
            continue
        place = (kind, key, start)
        if place in seen:
            problems.append(f"{place} was said twice ({pane_id})")
        seen.add(place)
        if place not in expected:
            problems.append(f"{place} was said and has no event")
        elif wrong := differs(expected[place], figures):
            problems.append(f"{place}: {wrong}")
    problems += [f"{place} is missing" for place in expected.keys() - seen]
    return len(expected), problems


def compare_positions(connection, live):
    rows = connection.execute(
        """SELECT device_id, arg_max({'lat': latitude, 'lon': longitude, 'speed': speed, 'us': us},
                                     (us, log_offset))
           FROM judged_gps_data
           WHERE NOT (latitude = 0 AND longitude = 0) AND device_id NOT LIKE 'closing-%' GROUP BY 1"""
    ).fetchall()
    said = {item["vehicle_id"]: item for item in live if not item["vehicle_id"].startswith("closing-")}
    problems = [f"{device} is on the map and sent nothing" for device in said.keys() - {row[0] for row in rows}]
    for device, want in rows:
        got = said.get(device)
        if got is None:
            problems.append(f"{device} is not on the map")
        elif not (
            near(got["latitude"], want["lat"], 1e-9)
            and near(got["longitude"], want["lon"], 1e-9)
            and near(got["speed"], want["speed"], 1e-9)
        ):
            problems.append(f"{device} is at {got}, expected {want}")
    return len(rows), problems


# The newest fixes of each vehicle, in the order of the log, that say anything to the rule.
TOLD = """
WITH newest AS (
  SELECT device_id, log_offset, us, speed,
    max(us) OVER (PARTITION BY device_id ORDER BY log_offset ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before_us
  FROM judged_gps_data
  WHERE occurrence = 1 AND NOT (latitude = 0 AND longitude = 0) AND device_id LIKE 'taxi-%'
), beyond AS (
  SELECT *, speed > {fast} AS is_fast FROM newest
  WHERE (before_us IS NULL OR us >= before_us) AND (speed > {fast} OR speed <= {no_more})
)
SELECT device_id, us, is_fast FROM beyond
QUALIFY is_fast IS DISTINCT FROM lag(is_fast, 1, false) OVER (PARTITION BY device_id ORDER BY log_offset)
ORDER BY device_id, log_offset
"""


def expected_alerts(connection, fast, no_more):
    """(vehicle, start of the alert) -> its end; None where it goes on."""
    alerts, started = {}, {}
    for device, us, is_fast in connection.execute(TOLD.format(fast=fast, no_more=no_more)).fetchall():
        if is_fast:
            started[device] = us
            alerts[(device, us)] = None
        else:
            alerts[(device, started[device])] = us
    return alerts


def compare_alerts(connection, lake, fast, no_more):
    """Alerts that go on are ended by what closes the windows: nothing more is heard."""
    expected = expected_alerts(connection, fast, no_more)
    rows = connection.execute(
        f"""SELECT subject, epoch_us(started_at), status, epoch_us(timestamp), id, alert_id
            FROM delta_scan('{lake}/alerts')
            WHERE rule = 'fleet-fast' AND subject LIKE 'taxi-%' AND status <> 'updated'"""
    ).fetchall()
    problems, seen, ids, ends = [], {}, set(), {}
    for subject, started_us, status, us, step_id, alert_id in rows:
        alert = (subject, started_us)
        if step_id in ids:
            problems.append(f"{status} of {alert} is in the log twice")
        ids.add(step_id)
        if seen.setdefault(alert, alert_id) != alert_id:
            problems.append(f"{alert} has two ids")
        if alert not in expected:
            problems.append(f"{alert} was {status} and is none")
        if status == "cleared":
            ends[alert] = us
    problems += [f"{alert} was not raised" for alert in expected.keys() - seen.keys()]
    for alert, end in expected.items():
        if end is not None and ends.get(alert) != end:
            problems.append(f"{alert} was cleared at {ends.get(alert)}, expected {end}")
    return len(expected), problems


def main(lake, live, lateness_s, fast, no_more):
    connection = connect(lake)
    for table in ("gps_data", "weather_data"):
        judge(connection, lake, table, int(float(lateness_s) * 1e6))
    # What is closing the windows is in windows that are still open.
    open_from_us = connection.execute(
        "SELECT min(pane_us) FROM judged_gps_data WHERE device_id LIKE 'closing-%'"
    ).fetchone()[0]
    events, doubles, late = connection.execute(
        """SELECT count(*), count(*) FILTER (occurrence > 1 AND NOT late), count(*) FILTER (late)
           FROM judged_gps_data"""
    ).fetchone()
    panes, pane_problems = compare_panes(connection, lake, open_from_us)
    with open(live, encoding="utf-8") as file:
        devices, position_problems = compare_positions(connection, json.load(file))
    alerts, alert_problems = compare_alerts(connection, lake, float(fast), float(no_more))
    problems = pane_problems + position_problems + alert_problems
    print(
        f"{events} events, {doubles} of them twice, {late} late; "
        f"{panes} windows, {devices} vehicles, {alerts} alerts"
    )
    print(
        f"{len(pane_problems)} windows, {len(position_problems)} positions "
        f"and {len(alert_problems)} alerts differ"
    )
    for problem in problems[:20]:
        print(" ", problem)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main(*sys.argv[1:])
