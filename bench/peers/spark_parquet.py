"""Spark Structured Streaming: Kafka -> JSON -> the 14 columns of `vehicle_data` -> Parquet by
date, on S3 where the environment names a server, with a checkpoint there.

    spark_parquet.py BROKERS TOPIC FOLDER JARS_FOLDER

FOLDER is a path, or s3a://BUCKET/PREFIX. A run (see told.py) writes a table of its own in
it, in one Spark that goes on, and answers ROWS SECONDS FILES; the seconds are those of the
micro-batches, without the start of the query. Less than the lake does: no dead letters,
repeated offsets are not looked for, rows are not in order, no statistics in a log.
"""
import os
import sys

import told
from spark import read_kafka, run_query, session

ROWS = """
SELECT e.id, e.device_id, e.timestamp, e.location[0] AS latitude, e.location[1] AS longitude,
       e.speed, e.direction, e.make, e.model, e.year, e.fuel_type,
       partition AS log_partition, offset AS log_offset, appended_at, CAST(e.timestamp AS DATE) AS date
FROM (SELECT partition, offset, timestamp AS appended_at, from_json(CAST(value AS STRING),
        'id STRING, device_id STRING, timestamp TIMESTAMP, location ARRAY<DOUBLE>, speed DOUBLE,
         direction DOUBLE, make STRING, model STRING, year INT, fuel_type STRING') AS e FROM records)
"""


def s3_settings():
    """How s3a finds the server and its key; nothing where there is none."""
    endpoint = os.environ.get("CITYPULSE_TEST_S3_ENDPOINT")
    if endpoint is None:
        return {}
    s3 = {
        "endpoint": endpoint,
        "endpoint.region": "us-east-1",
        "access.key": os.environ["CITYPULSE_TEST_S3_KEY"],
        "secret.key": os.environ["CITYPULSE_TEST_S3_SECRET"],
        "aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
        "path.style.access": "true",
        "connection.ssl.enabled": "false",
    }
    return {f"spark.hadoop.fs.s3a.{name}": value for name, value in s3.items()}


def main(brokers, topic, folder, jars):
    settings = {"spark.sql.parquet.compression.codec": "zstd", "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS"}
    spark = session(jars, {**settings, **s3_settings()})
    runs = iter(range(1_000_000))

    def run():
        place = f"{folder}/{next(runs)}"
        read_kafka(spark, brokers, topic)
        writer = spark.sql(ROWS).writeStream.format("parquet").partitionBy("date")
        progress = run_query(writer.option("path", f"{place}/rows"), f"{place}/checkpoint")
        took = sum(step["durationMs"]["triggerExecution"] for step in progress) / 1000
        # Outside the time: what is there, every row whole.
        written = spark.read.parquet(f"{place}/rows")
        rows = written.where("timestamp IS NOT NULL AND id IS NOT NULL AND speed IS NOT NULL").count()
        files = len(written.inputFiles())
        return rows, took, files

    told.serve(f"Spark {spark.version}", run)
    spark.stop()


main(*sys.argv[1:])
