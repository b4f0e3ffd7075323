"""Where the lab keeps things on this machine, and how it knows its own: by one label."""

import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
LAB = ROOT / "lab"
STATE = pathlib.Path("/var/lib/insync-lab")
CACHE = pathlib.Path("/var/cache/insync-lab")
LOCK = pathlib.Path("/run/lock/insync-lab.lock")

KEYS = STATE / "keys"
SITE = STATE / "site"
RUNS = STATE / "runs"
INOTIFY = STATE / "inotify.json"

LABEL = "insync-lab"
PREFIX = "insync-"
