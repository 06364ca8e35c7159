"""What the jobs on Spark share: the session and how a streaming query is run."""
import tempfile
from pathlib import Path

from pyspark.sql import SparkSession


def session(jars, settings=None):
    """Spark in one JVM on two cores, as many as there are for the others."""
    builder = SparkSession.builder.master("local[2]")
    fixed = {
        "spark.jars": ",".join(str(jar) for jar in Path(jars).glob("*.jar")),
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.enabled": "false",
        "spark.driver.memory": "3g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
    }
    for name, value in {**fixed, **(settings or {})}.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def read_kafka(spark, brokers, topic):
    """The topic from its beginning, as the view `records`."""
    options = {
        "kafka.bootstrap.servers": brokers,
        "subscribe": topic,
        "startingOffsets": "earliest",
        # Beyond the default of 500 it gets faster.
        "kafka.max.poll.records": "10000",
    }
    spark.readStream.format("kafka").options(**options).load().createOrReplaceTempView("records")


def run_query(writer, checkpoint=None):
    """Runs a query over all that is there; the progress of the micro-batches with rows."""
    with tempfile.TemporaryDirectory() as folder:
        writer = writer.option("checkpointLocation", checkpoint or folder)
        query = writer.trigger(availableNow=True).start()
        query.awaitTermination()
        return [step for step in query.recentProgress if step["numInputRows"] > 0]
