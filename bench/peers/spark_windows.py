"""Spark Structured Streaming: Kafka -> JSON -> windows of 10 s over about 2,000 cells
-> nowhere, in SQL.

    spark_windows.py BROKERS TOPIC EVENTS JARS_FOLDER

Prints a line of JSON: events, seconds of the micro-batches, windows. The JVM does the
work; starting Spark is not counted.
"""
import json
import sys
import tempfile
from pathlib import Path

from pyspark.sql import SparkSession

# The rectangle of the fleet, 50 by 40 cells.
WINDOWS = """
SELECT cell, window(happened, '10 seconds') AS span, count(*) AS n, avg(speed) AS mean,
       min(speed) AS low, max(speed) AS high
FROM cells GROUP BY cell, window(happened, '10 seconds')
"""
CELLS = """
SELECT CAST(floor((e.location[0] - 57.52) / 0.00875) AS INT) * 1000
     + CAST(floor((e.location[1] - 11.64) / 0.0128) AS INT) AS cell, e.speed AS speed,
       CAST(e.timestamp AS TIMESTAMP) AS happened
FROM (SELECT from_json(CAST(value AS STRING),
        'device_id STRING, timestamp STRING, location ARRAY<DOUBLE>, speed DOUBLE') AS e FROM gps)
"""


def main(brokers, topic, events, jars):
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.jars", ",".join(str(jar) for jar in Path(jars).glob("*.jar")))
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "2g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    kafka = {
        "kafka.bootstrap.servers": brokers,
        "subscribe": topic,
        "startingOffsets": "earliest",
        "maxOffsetsPerTrigger": str(max(events // 4, 1)),
    }
    spark.readStream.format("kafka").options(**kafka).load().createOrReplaceTempView("gps")
    spark.sql(CELLS).withWatermark("happened", "60 seconds").createOrReplaceTempView("cells")
    with tempfile.TemporaryDirectory() as checkpoint:
        query = (
            spark.sql(WINDOWS)
            .writeStream.format("noop")
            .outputMode("update")
            .option("checkpointLocation", checkpoint)
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination()
        progress = [step for step in query.recentProgress if step["numInputRows"] > 0]
    total = sum(step["numInputRows"] for step in progress)
    seconds = sum(step["durationMs"]["triggerExecution"] for step in progress) / 1000
    windows = sum(step["stateOperators"][0]["numRowsUpdated"] for step in progress)
    spark.stop()
    print(json.dumps({"events": total, "seconds": seconds, "windows": windows}))


if __name__ == "__main__":
    brokers, topic, events, jars = sys.argv[1:]
    main(brokers, topic, int(events), jars)
