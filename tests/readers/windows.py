"""What the windows of one minute must be, from the raw fixes alone.

    windows.py LATENESS_S TABLE...      (tables of gps_data and vehicle_data)

Reads the fixes from the lake with DuckDB, judges each by what its log partition held
up to it, and prints one JSON object per line: kind, key, start (s since the epoch),
count, mean, min, max, p50, p90, p99, vehicles. H3 cells come from Uber's own library.

A fix counts unless
- the same device sent the same id before (duplicate),
- it is at 0, 0 (a receiver without a position), or
- its minute had ended at or before the watermark of its partition (late):
  min(greatest event time, greatest append time) - lateness.
"""
import json
import sys

import h3

from delta_tables import connect

MINUTE_US = 60_000_000

JUDGED = """
CREATE TABLE judged AS
WITH fixes AS (
    {tables}
), seen AS (
    SELECT *,
        least(
            max(event_us) OVER log_order,
            max(appended_us) OVER log_order
        ) - {lateness_us} AS watermark_us,
        row_number() OVER (
            PARTITION BY topic, log_partition, device_id, id ORDER BY log_offset
        ) AS sighting
    FROM fixes
    WINDOW log_order AS (
        PARTITION BY topic, log_partition ORDER BY log_offset
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
)
SELECT device_id, latitude, longitude, speed,
    event_us - event_us % {minute_us} AS start_us,
    sighting > 1 AS is_duplicate,
    latitude = 0 AND longitude = 0 AS is_null_island,
    event_us - event_us % {minute_us} + {minute_us} <= watermark_us AS is_late
FROM seen
"""

FIXES = """SELECT {number} AS topic, log_partition, log_offset, device_id, id, latitude, longitude,
    speed, epoch_us(timestamp) AS event_us, epoch_us(appended_at) AS appended_us
    FROM delta_scan('{table}')"""

PANES = """
SELECT kind, key, start_us, count(*), avg(speed), min(speed), max(speed),
    quantile_disc(speed, 0.5), quantile_disc(speed, 0.9), quantile_disc(speed, 0.99),
    count(DISTINCT device_id)
FROM (
    SELECT 'city' AS kind, 'speed' AS key, start_us, speed, device_id FROM good
    UNION ALL
    SELECT 'cell', cell, start_us, speed, device_id FROM good JOIN cells USING (latitude, longitude)
)
GROUP BY ALL ORDER BY ALL
"""


def main(lateness_s, tables):
    connection = connect(tables[0])
    fixes = [FIXES.format(number=number, table=table) for number, table in enumerate(tables)]
    connection.execute(
        JUDGED.format(
            tables=" UNION ALL ".join(fixes),
            lateness_us=int(float(lateness_s) * 1_000_000),
            minute_us=MINUTE_US,
        )
    )
    connection.execute(
        "CREATE TABLE good AS SELECT * FROM judged WHERE NOT (is_duplicate OR is_null_island OR is_late)"
    )
    places = connection.execute("SELECT DISTINCT latitude, longitude FROM good").fetchall()
    connection.execute("CREATE TABLE cells (latitude DOUBLE, longitude DOUBLE, cell TEXT)")
    connection.executemany(
        "INSERT INTO cells VALUES (?, ?, ?)",
        [(latitude, longitude, h3.latlng_to_cell(latitude, longitude, 8)) for latitude, longitude in places],
    )
    counts = connection.execute(
        "SELECT count(*), count_if(is_duplicate), count_if(is_null_island), count_if(is_late AND NOT is_duplicate) FROM judged"
    ).fetchone()
    print("fixes, duplicates, at 0 0, late:", *counts, file=sys.stderr)
    names = ["kind", "key", "start", "count", "mean", "min", "max", "p50", "p90", "p99", "vehicles"]
    for row in connection.execute(PANES).fetchall():
        pane = dict(zip(names, row))
        pane["start"] //= 1_000_000
        print(json.dumps(pane))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
