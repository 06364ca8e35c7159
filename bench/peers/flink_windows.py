"""Flink: Kafka -> JSON -> windows over about 2,000 cells -> nowhere, in SQL.

    flink_windows.py BROKERS TOPIC WINDOW_SECONDS JARS_FOLDER

A run (see told.py) reads the topic once, in one JVM that goes on and is warm: the JVM
does the work. It answers EVENTS SECONDS WINDOWS; the seconds are the job's own, from its
start in the engine until its end.
"""
import sys
from pathlib import Path

import told
from pyflink.table import EnvironmentSettings, TableEnvironment
from pyflink.version import __version__

SOURCE = """
CREATE TABLE gps (
  device_id STRING, `timestamp` TIMESTAMP_LTZ(3), location ARRAY<DOUBLE>, speed DOUBLE,
  WATERMARK FOR `timestamp` AS `timestamp` - INTERVAL '60' SECOND
) WITH (
  'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{brokers}',
  'properties.group.id' = 'bench-flink', 'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = 'latest-offset', 'properties.max.poll.records' = '10000',
  'format' = 'json', 'json.ignore-parse-errors' = 'true',
  'json.timestamp-format.standard' = 'ISO-8601'
)
"""
# The rectangle of the fleet, 50 by 40 cells.
CELLS = """
SELECT CAST(FLOOR((location[1] - 57.52) / 0.00875) AS INT) * 1000
     + CAST(FLOOR((location[2] - 11.64) / 0.0128) AS INT) AS cell, speed, `timestamp` FROM gps
"""
WINDOWS = """
SELECT cell, window_start, COUNT(*) AS n, AVG(speed) AS mean, MIN(speed) AS low, MAX(speed) AS high
FROM TABLE(TUMBLE(TABLE cells, DESCRIPTOR(`timestamp`), INTERVAL '{seconds}' SECOND))
GROUP BY cell, window_start, window_end
"""
NOWHERE = """
CREATE TABLE nowhere (cell INT, window_start TIMESTAMP(3), n BIGINT, mean DOUBLE, low DOUBLE,
  high DOUBLE) WITH ('connector' = 'blackhole')
"""
# As many as there are cores, and what Flink advises for throughput.
SETTINGS = {
    "parallelism.default": "2",
    "table.local-time-zone": "UTC",
    "table.exec.mini-batch.enabled": "true",
    "table.exec.mini-batch.allow-latency": "1 s",
    "table.exec.mini-batch.size": "50000",
    "pipeline.object-reuse": "true",
}


def main(brokers, topic, seconds, jars):
    flink = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    jars = ";".join(jar.resolve().as_uri() for jar in Path(jars).glob("*.jar"))
    for name, value in {**SETTINGS, "pipeline.jars": jars}.items():
        flink.get_config().set(name, value)
    flink.execute_sql(SOURCE.format(topic=topic, brokers=brokers))
    flink.execute_sql("CREATE TEMPORARY VIEW cells AS " + CELLS)
    flink.execute_sql(NOWHERE)
    windows = WINDOWS.format(seconds=seconds)
    counted = []

    def run():
        if not counted:
            # Once, outside the time: does it read everything, and how many windows are there?
            rows = flink.execute_sql(f"SELECT SUM(n), COUNT(*) FROM ({windows})").collect()
            counted.extend(list(rows)[-1])
        job = flink.execute_sql("INSERT INTO nowhere " + windows).get_job_client()
        took = job.get_job_execution_result().result().get_net_runtime() / 1000
        return counted[0], took, counted[1]

    told.serve(f"Flink {__version__}", run)


main(*sys.argv[1:])
