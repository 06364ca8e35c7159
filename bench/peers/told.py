"""How a peer is told what to do: a line on stdin is one run, a line on stdout its outcome."""
import json
import os
import sys


def serve(name, run):
    """Says what this is; then, for each line, runs and prints "ITEMS SECONDS FOUND".

    Nothing else may get among the answers: what the engine prints goes to stderr.
    """
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        print(json.dumps({"name": name}), file=answers, flush=True)
        for _ in sys.stdin:
            print(*run(), file=answers, flush=True)
