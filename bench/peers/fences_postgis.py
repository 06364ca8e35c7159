"""Which fences contain each point: PostGIS with a GiST index, in a server of its own.

    fences_postgis.py FOLDER

Input, output and protocol as in fences_shapely.py. The server is from Debian's packages
postgresql and postgis; it listens on a socket in a temporary folder only.
"""
import glob
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg2
from psycopg2.extras import execute_values

JOIN = "SELECT count(*) FROM points p JOIN fences f ON ST_Intersects(f.area, p.place)"


def find_server():
    for folder in sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True):
        version = folder.split("/")[-2]
        extension = f"/usr/share/postgresql/{version}/extension/postgis.control"
        if os.path.exists(f"{folder}/initdb") and os.path.exists(extension):
            return Path(folder)
    return None


def run_server(binaries, folder):
    """Starts a server; returns what ends it. As root it runs as the user postgres."""
    as_user = []
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user = ["runuser", "-u", "postgres", "--"]
    data = f"{folder}/data"
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder}
    subprocess.run([*as_user, binaries / "initdb", "-D", data, "-A", "trust", "-U", "postgres"], **quiet)
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c shared_buffers=512MB -c jit=off"
    control = [*as_user, binaries / "pg_ctl", "-D", data, "-w"]
    subprocess.run([*control, "-o", options, "-l", f"{folder}/log", "start"], **quiet)
    return lambda: subprocess.run([*control, "-m", "immediate", "stop"], **quiet)


def polygon(ring):
    return "POLYGON((" + ",".join(f"{x!r} {y!r}" for x, y in ring) + "))"


def seconds_of(process):
    """How long a process has computed, as Linux tells; the wall clock elsewhere."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return time.perf_counter()


def measure(folder, host):
    connection = psycopg2.connect(host=host, user="postgres", dbname="postgres")
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("CREATE EXTENSION postgis")
    cursor.execute("CREATE TABLE fences (area geometry)")
    cursor.execute("CREATE TABLE points (place geometry)")
    rings = json.loads((Path(folder) / "fences.json").read_text())
    places = json.loads((Path(folder) / "points.json").read_text())
    areas = [(polygon(ring),) for ring in rings]
    execute_values(cursor, "INSERT INTO fences VALUES %s", areas, page_size=1000)
    execute_values(cursor, "INSERT INTO points VALUES %s", places, "(ST_MakePoint(%s, %s))", 1000)
    cursor.execute("CREATE INDEX ON fences USING gist (area)")
    cursor.execute("VACUUM ANALYZE fences")
    cursor.execute("VACUUM ANALYZE points")
    # One core, as the others.
    cursor.execute("SET max_parallel_workers_per_gather = 0")
    cursor.execute("SELECT postgis_lib_version()")
    print(json.dumps({"name": f"PostGIS {cursor.fetchone()[0]}"}), flush=True)
    server = connection.get_backend_pid()
    for _ in sys.stdin:
        start = seconds_of(server)
        cursor.execute(JOIN)
        count = cursor.fetchone()[0]
        print(len(places), seconds_of(server) - start, count, flush=True)


def main(folder):
    binaries = find_server()
    if binaries is None:
        print(json.dumps({"missing": "Debian's postgresql and postgis are not installed"}))
        return
    work = tempfile.mkdtemp(prefix="citypulse-postgis-")
    try:
        stop = run_server(binaries, work)
        try:
            measure(folder, work)
        finally:
            stop()
    finally:
        shutil.rmtree(work, ignore_errors=True)


main(sys.argv[1])
