"""Flink: Kafka -> JSON -> windows of 10 s over about 2,000 cells -> nowhere, in SQL.

    flink_windows.py BROKERS TOPIC EVENTS JARS_FOLDER

Prints a line of JSON: events, seconds of the job, windows. The JVM does the work.
"""
import json
import sys
import time
from pathlib import Path

from pyflink.table import EnvironmentSettings, TableEnvironment

SOURCE = """
CREATE TABLE gps (
  device_id STRING, `timestamp` STRING, location ARRAY<DOUBLE>, speed DOUBLE,
  happened AS TO_TIMESTAMP(SUBSTRING(REPLACE(REPLACE(`timestamp`, 'T', ' '), 'Z', ''), 1, 23), 'yyyy-MM-dd HH:mm:ss.SSS'),
  WATERMARK FOR happened AS happened - INTERVAL '60' SECOND
) WITH (
  'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{brokers}',
  'properties.group.id' = 'bench-flink', 'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = 'latest-offset', 'format' = 'json', 'json.ignore-parse-errors' = 'true'
)
"""
# The rectangle of the fleet, 50 by 40 cells.
CELLS = """
SELECT CAST(FLOOR((location[1] - 57.52) / 0.00875) AS INT) * 1000
     + CAST(FLOOR((location[2] - 11.64) / 0.0128) AS INT) AS cell, speed, happened FROM gps
"""
WINDOWS = """
SELECT cell, window_start, COUNT(*) AS n, AVG(speed) AS mean, MIN(speed) AS low, MAX(speed) AS high
FROM TABLE(TUMBLE(TABLE cells, DESCRIPTOR(happened), INTERVAL '10' SECOND))
GROUP BY cell, window_start, window_end
"""


def main(brokers, topic, events, jars):
    environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    settings = {
        "pipeline.jars": ";".join(jar.resolve().as_uri() for jar in Path(jars).glob("*.jar")),
        # As many as there are cores, and what Flink advises for throughput.
        "parallelism.default": "2",
        "table.exec.mini-batch.enabled": "true",
        "table.exec.mini-batch.allow-latency": "1 s",
        "table.exec.mini-batch.size": "50000",
        "pipeline.object-reuse": "true",
    }
    for name, value in settings.items():
        environment.get_config().set(name, value)
    environment.execute_sql(SOURCE.format(topic=topic, brokers=brokers))
    environment.execute_sql("CREATE TEMPORARY VIEW cells AS " + CELLS)
    environment.execute_sql(
        "CREATE TABLE said (windows BIGINT, events BIGINT) WITH ('connector' = 'blackhole')"
    )
    environment.execute_sql(
        """CREATE TABLE result (cell INT, window_start TIMESTAMP(3), n BIGINT, mean DOUBLE, low DOUBLE,
           high DOUBLE) WITH ('connector' = 'blackhole')"""
    )
    began = time.monotonic()
    job = environment.execute_sql("INSERT INTO result " + WINDOWS)
    client = job.get_job_client()
    runtime = client.get_job_execution_result().result().get_net_runtime() / 1000
    wall = time.monotonic() - began
    # Afterwards, outside the time: did it read everything, and how many windows were there?
    counted = environment.execute_sql(f"SELECT COUNT(*), SUM(n) FROM ({WINDOWS})").collect()
    windows, total = list(counted)[-1]
    print(json.dumps({"events": total, "seconds": runtime or wall, "windows": windows}))


if __name__ == "__main__":
    brokers, topic, events, jars = sys.argv[1:]
    main(brokers, topic, int(events), jars)
