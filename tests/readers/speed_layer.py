"""Computes from the lake what the speed layer must have said, and compares.

    speed_layer.py LAKE LIVE.json LATENESS_SECONDS FAST_KMH FAST_NO_MORE_KMH

LAKE is a folder or s3://BUCKET/PREFIX (endpoint and key from the environment) with
the tables gps_data, weather_data, windows and alerts. LIVE.json is what the API says now:
`vehicles` is /api/vehicles/locations, `windows` has /api/windows/KIND?size=SIZE by kind and
size. The rule `fleet-fast` raises an alert where a vehicle is faster than FAST_KMH, which
is over where it is not faster than FAST_NO_MORE_KMH. Reads the events in the order of the
log and applies the definitions once more: watermark, lateness, duplicates, streets,
parked vehicles, windows, last position by event time, alerts. Prints what differs, and
exits with 1 if anything does.
"""
import json
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone

import h3
import pyarrow

from delta_tables import connect

PANE_US = 60_000_000
# Readings of stations, and what they are in SQL.
READINGS = {
    name: name for name in ("temperature", "humidity", "wind_speed", "precipitation", "visibility", "air_quality_index")
} | {"extra.co2": "CAST(json_extract_string(extra, '$.co2') AS DOUBLE)"}
# Length and step of the windows, by the name of their size.
SIZES = {
    "1m": (PANE_US, PANE_US),
    "5m": (5 * PANE_US, 5 * PANE_US),
    "15m": (15 * PANE_US, 15 * PANE_US),
    "5m/1m": (5 * PANE_US, PANE_US),
}
# Panes stay in the hot store for 20 minutes after their last event was appended. Longer
# windows with older ones have no quantiles any more.
SURELY_HOT_US = 15 * PANE_US
FIGURES = ("count", "mean", "min", "max", "p50", "p90", "p99", "vehicles")

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

# Streets as tests/src/roads.rs lays them out, 10 rows of 4, in millionths of a degree. A fix
# is on a street within 30 m (270 to the north or south) of a carriageway, and there on the
# one of its heading.
STREETS = """
CREATE MACRO north_of(latitude) AS CAST(round(latitude * 1e6) AS BIGINT) - 57690000 + 1000;
CREATE MACRO east_of(longitude) AS CAST(round(longitude * 1e6) AS BIGINT) - 11930000;
CREATE MACRO segment(latitude, longitude, direction) AS CASE
  WHEN north_of(latitude) BETWEEN 0 AND 39999 AND north_of(latitude) % 4000 - 1000 BETWEEN -270 AND 430
    AND east_of(longitude) BETWEEN 0 AND 79999 AND east_of(longitude) % 20000 < 15000
  THEN 'e' || (
    north_of(latitude) // 4000 * 16 + east_of(longitude) // 20000 * 4
    + CASE WHEN direction < 180 THEN 0 ELSE 2 END + east_of(longitude) % 20000 // 7500)
  END
"""

# Every believed fix in the order of the log. A vehicle moves where it has a speed, or is
# not where its newest fix before was; who has not moved for two minutes is parked, and says
# nothing about its street. Only what is the newest of its vehicle tells whether it moves.
FIXES = """
CREATE TEMP TABLE fixes AS
WITH believed AS (
  SELECT *, (latitude, longitude) AS place,
    us >= coalesce(max(us) OVER earlier, us) AS is_newest
  FROM judged_gps_data WHERE occurrence = 1 AND NOT (latitude = 0 AND longitude = 0)
  WINDOW earlier AS (PARTITION BY device_id ORDER BY log_offset ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), moving AS (
  SELECT *, is_newest AND (speed >= 3 OR place <> last_value(CASE WHEN is_newest THEN place END IGNORE NULLS) OVER earlier)
    AS moves
  FROM believed
  WINDOW earlier AS (PARTITION BY device_id ORDER BY log_offset ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
SELECT * EXCLUDE (place),
  coalesce(max(us) OVER so_far - max(us) FILTER (moves) OVER so_far > 120000000, true) AS is_parked
FROM moving
WINDOW so_far AS (PARTITION BY device_id ORDER BY log_offset)
"""


def judge(connection, lake, table, lateness_us):
    path = f"{lake}/{table}"
    connection.execute(JUDGED.format(table=table, path=path, lateness_us=lateness_us, pane_us=PANE_US))


def measure(connection):
    """The table `measured`: every value that is in windows, by kind and key."""
    connection.execute(STREETS)
    connection.execute(FIXES)
    places = connection.execute("SELECT DISTINCT latitude, longitude FROM fixes").fetchall()
    cells = pyarrow.table(
        {
            "latitude": [place[0] for place in places],
            "longitude": [place[1] for place in places],
            "cell": [h3.latlng_to_cell(*place, 8) for place in places],
        }
    )
    connection.register("cells", cells)
    of_fix = "pane_us, speed AS value, hash(device_id) AS device, epoch_us(appended_at) AS appended_us FROM fixes"
    readings = [
        f"""SELECT 'station', device_id || ':{reading}', pane_us, {value}, hash(device_id), epoch_us(appended_at)
            FROM judged_weather_data WHERE NOT late AND occurrence = 1 AND {value} IS NOT NULL"""
        for reading, value in READINGS.items()
    ]
    selections = [
        f"SELECT 'city' AS kind, 'speed' AS key, {of_fix} WHERE NOT late",
        f"SELECT 'cell', cell, {of_fix} JOIN cells USING (latitude, longitude) WHERE NOT late",
        f"""SELECT 'segment', segment(latitude, longitude, direction), {of_fix}
            WHERE NOT late AND NOT is_parked AND segment(latitude, longitude, direction) IS NOT NULL""",
        *readings,
    ]
    connection.execute("CREATE TEMP TABLE measured AS " + " UNION ALL ".join(selections))


def count_vehicles(connection):
    """(kind, key, start of a minute) -> how many vehicles its values came from."""
    rows = connection.execute(
        "SELECT kind, key, pane_us, count(DISTINCT device) FROM measured WHERE kind <> 'station' GROUP BY ALL"
    ).fetchall()
    return {row[:3]: row[3] for row in rows}


def expected_windows(connection, size, vehicles, end_us):
    """(kind, key, start) -> (figures by name, append of its first event), of windows that
    end until then. Vehicles are known of windows of which one minute has values."""
    size_us, step_us = SIZES[size]
    rows = connection.execute(
        f"""SELECT kind, key, start_us, min(pane_us), max(pane_us), min(appended_us),
              count(*), avg(value), min(value), max(value), quantile_disc(value, [0.5, 0.9, 0.99])
            FROM (SELECT *, pane_us - pane_us % {step_us} - back * {step_us} AS start_us
                  FROM measured, range({size_us // step_us}) AS earlier(back))
            WHERE start_us + {size_us} <= {end_us} GROUP BY kind, key, start_us"""
    ).fetchall()
    windows = {}
    for kind, key, start_us, first_us, last_us, appended_us, *moments, quantiles in rows:
        of_one_minute = vehicles.get((kind, key, first_us)) if first_us == last_us else None
        figures = dict(zip(FIGURES, [*moments, *quantiles, of_one_minute]))
        windows[(kind, key, start_us)] = (figures, appended_us)
    return windows


def recorded_windows(connection, lake):
    """Closed windows. A correction has the id of what it corrects: the last one counts."""
    rows = connection.execute(
        f"""SELECT kind, key, epoch_us(timestamp), {", ".join(FIGURES)}
            FROM delta_scan('{lake}/windows')
            QUALIFY row_number() OVER (PARTITION BY id ORDER BY log_offset DESC) = 1"""
    ).fetchall()
    for kind, key, start_us, *figures in rows:
        yield (kind, key, start_us), {**dict(zip(FIGURES, figures)), "final": True}


def told_windows(answers, size):
    """What the API says of every kind."""
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    for kind, sizes in answers.items():
        if sizes[size]["truncated"]:
            raise SystemExit(f"{kind} {size}: not all windows were asked for")
        for window in sizes[size]["windows"]:
            start = datetime.fromisoformat(window["window_start"]) - epoch
            yield (kind, window["key"], start // timedelta(microseconds=1)), window


def near(a, b, share):
    return a is not None and b is not None and abs(a - b) <= share * max(abs(a), abs(b), 1e-9)


def differs(expected, said, may_lack):
    """What is not as expected. Moments are exact, a quantile is within the 1 % that the
    sketch promises."""
    for name, want in expected.items():
        got = said[name]
        if got is None and name in may_lack:
            continue
        if name in ("count", "vehicles"):
            same = want == got
        else:
            same = near(want, got, 0.0101 if name.startswith("p") else 1e-9)
        if not same:
            return f"{name} is {got}, expected {want}"
    return None


def compare_windows(expected, said, source, size, span):
    """`span`: the end of the last closed minute, the end of the last window that is
    compared, and now."""
    closed_us, end_us, now_us = span
    size_us = SIZES[size][0]
    problems, seen = [], set()
    for place, window in said:
        start_us = place[2]
        if start_us + size_us > end_us:
            continue
        name = f"{source} {size} {place}"
        if place in seen:
            problems.append(f"{name} was said twice")
        seen.add(place)
        if place not in expected:
            problems.append(f"{name} was said and has no event")
            continue
        figures, appended_us = expected[place]
        is_old = size != "1m" and appended_us < now_us - SURELY_HOT_US
        if wrong := differs(figures, window, ("p50", "p90", "p99") if is_old else ()):
            problems.append(f"{name}: {wrong}")
        elif start_us + size_us <= closed_us and not window["final"]:
            problems.append(f"{name} is not final")
    problems += [f"{source} {size} {place} is missing" for place in expected.keys() - seen]
    return problems


def compare_all_windows(connection, lake, answers):
    """Compares until the minute in which something closes the windows, which is in windows
    that are still open. Longer windows only once the minutes are right."""
    end_us, now_us = connection.execute(
        """SELECT min(pane_us), max(epoch_us(appended_at)) FROM judged_gps_data WHERE device_id LIKE 'closing-%'"""
    ).fetchone()
    measure(connection)
    vehicles = count_vehicles(connection)
    minutes = expected_windows(connection, "1m", vehicles, end_us)
    span = (max(start_us for _, _, start_us in minutes) + PANE_US, end_us, now_us)
    problems = compare_windows(minutes, recorded_windows(connection, lake), "table", "1m", span)
    problems += compare_windows(minutes, told_windows(answers, "1m"), "API", "1m", span)
    counts = Counter(f"{kind} 1m" for kind, _, _ in minutes)
    if not counts["segment 1m"]:
        problems.append("no vehicle drives on a street")
    for size in () if problems else ("5m", "15m", "5m/1m"):
        expected = expected_windows(connection, size, vehicles, end_us)
        counts.update(f"{kind} {size}" for kind, _, _ in expected)
        problems += compare_windows(expected, told_windows(answers, size), "API", size, span)
    return counts, problems


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
    events, doubles, late = connection.execute(
        """SELECT count(*), count(*) FILTER (occurrence > 1 AND NOT late), count(*) FILTER (late)
           FROM judged_gps_data"""
    ).fetchone()
    with open(live, encoding="utf-8") as file:
        said = json.load(file)
    windows, window_problems = compare_all_windows(connection, lake, said["windows"])
    devices, position_problems = compare_positions(connection, said["vehicles"])
    alerts, alert_problems = compare_alerts(connection, lake, float(fast), float(no_more))
    problems = window_problems + position_problems + alert_problems
    print(
        f"{events} events, {doubles} of them twice, {late} late; "
        f"{windows.total()} windows, {devices} vehicles, {alerts} alerts"
    )
    print("windows:", ", ".join(f"{count} {kind}" for kind, count in windows.items()))
    print(
        f"{len(window_problems)} windows, {len(position_problems)} positions "
        f"and {len(alert_problems)} alerts differ"
    )
    for problem in problems[:20]:
        print(" ", problem)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main(*sys.argv[1:])
