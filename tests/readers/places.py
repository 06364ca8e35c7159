"""Tells whether a Delta table has each record of the log once, by DuckDB, and whether
PyArrow reads the same rows from its files. Prints one JSON object:
rows, places (distinct partition and offset), expected (places up to the highest offset
of each partition), arrow_rows, arrow_offset_sum, offset_sum, files.

    places.py PATH | s3://BUCKET/PREFIX     (endpoint and key from the environment)
"""
import json
import sys

import pyarrow.compute
from delta_tables import connect, delta_table

QUERY = """
SELECT sum(n), sum(places), sum(next), sum(offsets) FROM (
  SELECT count(*) AS n, count(DISTINCT log_offset) AS places,
    max(log_offset) + 1 AS next, sum(log_offset) AS offsets
  FROM delta_scan(?) GROUP BY log_partition)
"""

if __name__ == "__main__":
    table = sys.argv[1]
    figures = connect(table).execute(QUERY, [table]).fetchone()
    rows, places, expected, offset_sum = (int(figure or 0) for figure in figures)
    delta = delta_table(table)
    # Every column, so that every encoding is read.
    arrow = delta.to_pyarrow_dataset().to_table()
    print(
        json.dumps(
            {
                "rows": rows,
                "places": places,
                "expected": expected,
                "offset_sum": offset_sum,
                "arrow_rows": arrow.num_rows,
                "arrow_offset_sum": pyarrow.compute.sum(arrow["log_offset"]).as_py() or 0,
                "files": len(delta.file_uris()),
            }
        )
    )
