"""Log lines: one JSON object each, to standard error, never with a secret in it."""

import json
import sys


def say(event, **fields):
    """Write ``event`` and what belongs to it (str, numbers)."""
    print(json.dumps({"event": event, **fields}, ensure_ascii=True, default=str), file=sys.stderr, flush=True)
