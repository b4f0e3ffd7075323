"""What a pool serves, as ct1 keeps it: a server that is made anew starts with that, not with the first release."""

import json
import pathlib

import insync_files

RECORDS = pathlib.Path("/var/lib/insync")


def read(pool, records=RECORDS):
    """
    Return the record (dict) of ``pool`` (str): slot, release, lock (its requirements with hashes), and former (dict:
    release, lock) if there was one before; {} if there is none.

    records (str or pathlib.Path): the folder of all pools' records.
    Raises OSError or ValueError if it is there and cannot be read.
    """
    file = _file(pool, records)
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def known(pool, records=RECORDS):
    """Return what ``read`` does, {} too for a record that is broken: it is about to be written anew."""
    try:
        return read(pool, records)
    except ValueError:
        return {}


def lock(pool, release, records=RECORDS):
    """Return what ``release`` (str) of ``pool`` (str) was built from (str), "" if the record does not have it."""
    record = known(pool, records)
    locks = {kept["release"]: kept["lock"] for kept in (record, record.get("former")) if kept}
    return locks.get(release, "")


def write(pool, slot, release, lock, records=RECORDS):
    """Keep that ``pool`` serves ``release``, built from ``lock``, in ``slot`` (all str); OSError if it cannot be."""
    before = known(pool, records)
    record = {"slot": slot, "release": release, "lock": lock}
    if before.get("release") not in (None, release):
        record["former"] = {key: before[key] for key in ("release", "lock")}
    elif "former" in before:
        record["former"] = before["former"]
    insync_files.replace(_file(pool, records), json.dumps(record, indent=2) + "\n")


def _file(pool, records):
    return pathlib.Path(records, pool, "serving.json")
