"""Prints how many rows a Delta table has, once by DuckDB and once by deltalake.

    count_rows.py PATH | s3://BUCKET/PREFIX     (endpoint and key from the environment)
"""
import os
import sys
from urllib.parse import urlparse

import duckdb
import duckdb_extensions
from deltalake import DeltaTable


def by_duckdb(table):
    connection = duckdb.connect()
    duckdb_extensions.import_extension("delta", con=connection)
    connection.load_extension("delta")
    if table.startswith("s3://"):
        duckdb_extensions.import_extension("httpfs", con=connection)
        connection.load_extension("httpfs")
        endpoint = urlparse(os.environ["CITYPULSE_S3__ENDPOINT"])
        secret = {
            "KEY_ID": os.environ["AWS_ACCESS_KEY_ID"],
            "SECRET": os.environ["AWS_SECRET_ACCESS_KEY"],
            "REGION": "us-east-1",
            "ENDPOINT": endpoint.netloc,
            "URL_STYLE": "path",
        }
        options = ", ".join(f"{name} '{value}'" for name, value in secret.items())
        connection.execute(f"CREATE SECRET (TYPE s3, USE_SSL false, {options})")
    return connection.execute("SELECT count(*) FROM delta_scan(?)", [table]).fetchone()[0]


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
