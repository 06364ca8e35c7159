"""Spark Structured Streaming: Kafka -> JSON -> windows over about 2,000 cells -> nowhere,
in SQL.

    spark_windows.py BROKERS TOPIC WINDOW_SECONDS JARS_FOLDER

A run (see told.py) reads the topic once, in one Spark that goes on: the JVM does the
work, and is warm. It answers EVENTS SECONDS WINDOWS; the seconds are those of the
micro-batches, without the start of the query.
"""
import sys

import told
from spark import read_kafka, run_query, session

# The rectangle of the fleet, 50 by 40 cells.
CELLS = """
SELECT CAST(floor((e.location[0] - 57.52) / 0.00875) AS INT) * 1000
     + CAST(floor((e.location[1] - 11.64) / 0.0128) AS INT) AS cell, e.speed AS speed,
       e.timestamp AS happened
FROM (SELECT from_json(CAST(value AS STRING),
        'device_id STRING, timestamp TIMESTAMP, location ARRAY<DOUBLE>, speed DOUBLE') AS e FROM records)
"""
WINDOWS = """
SELECT cell, window(happened, '{seconds} seconds') AS span, count(*) AS n, avg(speed) AS mean,
       min(speed) AS low, max(speed) AS high
FROM cells GROUP BY cell, window(happened, '{seconds} seconds')
"""


def main(brokers, topic, seconds, jars):
    spark = session(jars)

    def run():
        read_kafka(spark, brokers, topic)
        spark.sql(CELLS).withWatermark("happened", "60 seconds").createOrReplaceTempView("cells")
        windows = spark.sql(WINDOWS.format(seconds=seconds))
        progress = run_query(windows.writeStream.format("noop").outputMode("update"))
        events = sum(step["numInputRows"] for step in progress)
        took = sum(step["durationMs"]["triggerExecution"] for step in progress) / 1000
        found = sum(step["stateOperators"][0]["numRowsUpdated"] for step in progress)
        return events, took, found

    told.serve(f"Spark {spark.version}", run)
    spark.stop()


main(*sys.argv[1:])
