"""Tells whether a Delta table has each record of the log once, by DuckDB, and whether
others read the same rows from its files. Prints one JSON object:
rows, places (distinct partition and offset), expected (places up to the highest offset
of each partition), offset_sum, files, and in `readers` what PyArrow and Polars found,
as [rows, offset_sum].

    places.py PATH | s3://BUCKET/PREFIX     (endpoint and key from the environment)
"""
import json
import sys

import polars
import pyarrow.compute
from delta_tables import connect, delta_table

QUERY = """
SELECT sum(n), sum(places), sum(next), sum(offsets) FROM (
  SELECT count(*) AS n, count(DISTINCT log_offset) AS places,
    max(log_offset) + 1 AS next, sum(log_offset) AS offsets
  FROM delta_scan(?) GROUP BY log_partition)
"""


# Every column, so that every encoding is read.
def by_pyarrow(table):
    rows = delta_table(table).to_pyarrow_dataset().to_table()
    return rows.num_rows, pyarrow.compute.sum(rows["log_offset"]).as_py() or 0


def by_polars(table):
    rows = polars.read_delta(delta_table(table))
    return rows.height, rows["log_offset"].sum()


if __name__ == "__main__":
    table = sys.argv[1]
    figures = connect(table).execute(QUERY, [table]).fetchone()
    rows, places, expected, offset_sum = (int(figure or 0) for figure in figures)
    print(
        json.dumps(
            {
                "rows": rows,
                "places": places,
                "expected": expected,
                "offset_sum": offset_sum,
                "files": len(delta_table(table).file_uris()),
                "readers": {"PyArrow": by_pyarrow(table), "Polars": by_polars(table)},
            }
        )
    )
