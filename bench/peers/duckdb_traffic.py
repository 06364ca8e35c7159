"""DuckDB: what `traffic_hourly` has, from the lake's Parquet files to one Parquet file.

    duckdb_traffic.py FILES FOLDER

FILES is a JSON list of the files of one snapshot; FOLDER takes the result. A run (see
told.py) answers ROWS SECONDS GROUPS. Count, mean, extremes, sum, three quantiles and the
number of different vehicles by hour and cell of a grid of about 100 metres: streets are not
matched, and no fix is judged. Quantiles are exact: that is faster here than its approximate
ones.
"""
import json
import sys
import time
from pathlib import Path

import duckdb
import told

# Degrees of latitude and longitude.
CELL = (0.0009, 0.0017)
AGGREGATE = """
COPY (
  SELECT date_trunc('hour', timestamp) AS hour,
         CAST(floor(latitude / {north}) AS INTEGER) AS north,
         CAST(floor(longitude / {east}) AS INTEGER) AS east,
         count(*) AS count, avg(speed) AS mean, min(speed) AS min, max(speed) AS max, sum(speed) AS sum,
         quantile_disc(speed, [0.5, 0.9, 0.99]) AS quantiles,
         count(DISTINCT device_id) AS vehicles
  FROM read_parquet({files}) GROUP BY ALL ORDER BY ALL
) TO '{result}' (FORMAT parquet, COMPRESSION zstd)
"""


def main(files, folder):
    files = json.loads(Path(files).read_text())
    result = f"{folder}/duckdb.parquet"
    database = duckdb.connect(config={"temp_directory": f"{folder}/duckdb"})
    database.execute("SET TimeZone = 'UTC'")
    sql = AGGREGATE.format(files=files, result=result, north=CELL[0], east=CELL[1])

    def run():
        began = time.monotonic()
        database.execute(sql)
        took = time.monotonic() - began
        # Outside the time: what is there.
        counted = database.execute(f"SELECT CAST(sum(count) AS BIGINT), count(*) FROM '{result}'").fetchone()
        return counted[0], took, counted[1]

    told.serve(f"DuckDB {duckdb.__version__}", run)


main(*sys.argv[1:])
