"""Prints how many rows a Delta table has, once by DuckDB and once by deltalake.

    count_rows.py PATH | s3://BUCKET/PREFIX     (endpoint and key from the environment)
"""
import os
import sys

from deltalake import DeltaTable

from delta_tables import connect


def by_duckdb(table):
    return connect(table).execute("SELECT count(*) FROM delta_scan(?)", [table]).fetchone()[0]


def by_deltalake(table):
    options = None
    if table.startswith("s3://"):
        options = {
            "AWS_ENDPOINT_URL": os.environ["CITYPULSE_S3__ENDPOINT"],
            "AWS_ACCESS_KEY_ID": os.environ["AWS_ACCESS_KEY_ID"],
            "AWS_SECRET_ACCESS_KEY": os.environ["AWS_SECRET_ACCESS_KEY"],
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
    return DeltaTable(table, storage_options=options).to_pyarrow_dataset().count_rows()


if __name__ == "__main__":
    print("duckdb", by_duckdb(sys.argv[1]))
    print("deltalake", by_deltalake(sys.argv[1]))
