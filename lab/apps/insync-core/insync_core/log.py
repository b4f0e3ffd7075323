"""Log lines: one JSON object each, to standard error, never with a secret in it."""

import json
import sys


def say(event, **fields):
    """Write ``event`` and what belongs to it (str, numbers)."""
    line = json.dumps({"event": event, **fields}, ensure_ascii=True, default=str)
    # In one piece: print writes the line's end by itself, and another thread's line may come before it.
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
