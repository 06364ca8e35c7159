"""Whether the view cell_hourly is what DuckDB computes from the raw fixes.

    views.py VIEW TABLE...      (cell_hourly; tables of gps_data and vehicle_data)

A fix counts unless the same device sent the same id before, or it is at 0, 0; late ones
count. Counts, sums and extremes must be equal, quantiles within 1 %. H3 cells come from
Uber's own library. The exit code is 1 where anything differs.
"""
import sys

import h3

from delta_tables import connect

HOUR_US = 3_600_000_000

FIXES = """SELECT {number} AS topic, log_partition, log_offset, device_id, id, latitude, longitude,
    speed, epoch_us(timestamp) AS event_us FROM delta_scan('{table}')"""

GOOD = """
CREATE TABLE good AS
SELECT device_id, latitude, longitude, speed, event_us - event_us % {hour_us} AS hour_us
FROM (
    SELECT *, row_number() OVER (
        PARTITION BY topic, log_partition, device_id, id ORDER BY log_offset
    ) AS sighting
    FROM ({fixes})
)
WHERE sighting = 1 AND NOT (latitude = 0 AND longitude = 0)
"""

COMPUTED = """
SELECT cell, hour_us, count(*), avg(speed), min(speed), max(speed),
    quantile_disc(speed, 0.5), quantile_disc(speed, 0.9), quantile_disc(speed, 0.99),
    count(DISTINCT device_id)
FROM good JOIN cells USING (latitude, longitude) GROUP BY ALL
"""

STORED = """
SELECT cell, epoch_us(hour), count, mean, min, max, p50, p90, p99, vehicles
FROM delta_scan('{view}')
"""

NAMES = ["count", "mean", "min", "max", "p50", "p90", "p99", "vehicles"]
TOLERANCES = [0, 1e-9, 0, 0, 0.0101, 0.0101, 0.0101, 0]


def by_place(rows):
    return {row[:2]: row[2:] for row in rows}


def main(view, tables):
    connection = connect(view)
    fixes = [FIXES.format(number=number, table=table) for number, table in enumerate(tables)]
    connection.execute(GOOD.format(fixes=" UNION ALL ".join(fixes), hour_us=HOUR_US))
    places = connection.execute("SELECT DISTINCT latitude, longitude FROM good").fetchall()
    connection.execute("CREATE TABLE cells (latitude DOUBLE, longitude DOUBLE, cell TEXT)")
    connection.executemany(
        "INSERT INTO cells VALUES (?, ?, ?)",
        [(latitude, longitude, h3.latlng_to_cell(latitude, longitude, 8)) for latitude, longitude in places],
    )
    computed = by_place(connection.execute(COMPUTED).fetchall())
    stored = by_place(connection.execute(STORED.format(view=view)).fetchall())
    differences = [f"{place} only computed" for place in computed.keys() - stored.keys()]
    differences += [f"{place} only stored" for place in stored.keys() - computed.keys()]
    for place in computed.keys() & stored.keys():
        for name, tolerance, expected, got in zip(NAMES, TOLERANCES, computed[place], stored[place]):
            if abs(expected - got) > tolerance * abs(expected):
                differences.append(f"{place}: {name} is {got} instead of {expected}")
    print(f"{len(computed)} rows computed, {len(stored)} stored, {len(differences)} differences")
    print("\n".join(sorted(differences)[:10]))
    return 1 if differences or not computed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
