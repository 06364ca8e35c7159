"""How the readers open a Delta table: PATH | s3://BUCKET/PREFIX, endpoint and key from
the environment."""
import os
from urllib.parse import urlparse

import duckdb
import duckdb_extensions
from deltalake import DeltaTable


def connect(table):
    """A connection on which `delta_scan(table)` works: PATH or s3://BUCKET/PREFIX,
    endpoint and key from the environment."""
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
    return connection


def delta_table(table):
    """The table as the deltalake package sees it; its dataset is read by PyArrow."""
    options = None
    if table.startswith("s3://"):
        options = {
            "AWS_ENDPOINT_URL": os.environ["CITYPULSE_S3__ENDPOINT"],
            "AWS_ACCESS_KEY_ID": os.environ["AWS_ACCESS_KEY_ID"],
            "AWS_SECRET_ACCESS_KEY": os.environ["AWS_SECRET_ACCESS_KEY"],
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
    return DeltaTable(table, storage_options=options)
