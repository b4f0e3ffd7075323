"""What a pool serves, as ct1 keeps it: a server that is made anew starts with that, not with the first release."""

import json
import pathlib

import insync_files

RECORDS = pathlib.Path("/var/lib/insync")


def read(pool, records=RECORDS):
    """
    Return the record (dict) of ``pool`` (str): slot, release, lock (its requirements with hashes); {} if there is none.

    records (str or pathlib.Path): the folder of all pools' records.
    Raises OSError or ValueError if it is there and cannot be read.
    """
    file = _file(pool, records)
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def write(pool, slot, release, lock, records=RECORDS):
    """Keep that ``pool`` serves ``release``, built from ``lock``, in ``slot`` (all str); OSError if it cannot be."""
    record = {"slot": slot, "release": release, "lock": lock}
    insync_files.replace(_file(pool, records), json.dumps(record, indent=2) + "\n")


def _file(pool, records):
    return pathlib.Path(records, pool, "serving.json")
