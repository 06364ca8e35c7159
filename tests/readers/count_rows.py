"""Prints how many rows a Delta table has, once by DuckDB and once by deltalake.

    count_rows.py PATH | s3://BUCKET/PREFIX     (endpoint and key from the environment)
"""
import sys

from delta_tables import connect, delta_table


def by_duckdb(table):
    return connect(table).execute("SELECT count(*) FROM delta_scan(?)", [table]).fetchone()[0]


def by_deltalake(table):
    return delta_table(table).to_pyarrow_dataset().count_rows()


if __name__ == "__main__":
    print("duckdb", by_duckdb(sys.argv[1]))
    print("deltalake", by_deltalake(sys.argv[1]))
