"""Which fences contain each point: Shapely's STRtree over prepared polygons.

    fences_shapely.py FOLDER

FOLDER has fences.json (a list of rings) and points.json (a list of [x, y]). Prints a
line of JSON that says what this is; then, for each line on stdin, does all points once
and prints "POINTS SECONDS HITS", seconds on the processor. The work is done in C, many
points at a time.
"""
import json
import sys
import time
from pathlib import Path

import numpy
import shapely


def main(folder):
    rings = json.loads((Path(folder) / "fences.json").read_text())
    places = numpy.array(json.loads((Path(folder) / "points.json").read_text()))
    polygons = shapely.polygons([numpy.array(ring) for ring in rings])
    shapely.prepare(polygons)
    tree = shapely.STRtree(polygons)
    print(json.dumps({"name": f"Shapely {shapely.__version__} STRtree"}), flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        # Candidates by the tree, then prepared polygons: faster than the tree's own
        # predicate, which prepares the point.
        point, polygon = tree.query(shapely.points(places))
        hits = shapely.intersects_xy(polygons[polygon], places[point, 0], places[point, 1])
        count = int(hits.sum())
        print(len(places), time.process_time() - start, count, flush=True)


main(sys.argv[1])
