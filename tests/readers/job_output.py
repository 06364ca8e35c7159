"""What DuckDB reads of a job's result: prints a JSON array of its rows, of columns and
folders alike, in order of all of them.

    job_output.py PATH | s3://BUCKET/PREFIX     (endpoint and key from the environment)
"""
import json
import sys

from delta_tables import connect

if __name__ == "__main__":
    place = sys.argv[1].rstrip("/")
    cursor = connect(place).execute(
        "SELECT * FROM read_parquet(?, hive_partitioning = true) ORDER BY ALL",
        [f"{place}/**/*.parquet"],
    )
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row)) for row in cursor.fetchall()]
    print(json.dumps(rows, default=str))
