"""What a run leaves: the table of servers for the person, and a record for later."""

import getpass
import json
import os
import time

HEAD = ("server", "roles", "states", "changed", "failed", "seconds")


def table(roles, results):
    """
    Return the lines of the table: a row for each server, and the failing states under it.

    roles (dict): server -> list of str, in the order of the rows.
    results (dict): server -> converge.Result; a server that is missing did not return.
    """
    rows = [_row(server, roles[server], results.get(server)) for server in roles]
    widths = [max(len(row[column]) for row in [HEAD, *rows]) for column in range(len(HEAD))]
    lines = [_line(HEAD, widths), *(_line(row, widths) for row in rows)]
    for server in roles:
        lines += failures(server, results.get(server))
    return lines


def failures(server, result):
    """Return a line for each thing that went wrong on ``server``."""
    if result is None:
        return [f"{server}: did not return"]
    if result.problem:
        return [f"{server}: {result.problem}"]
    return [f"{server}: {state} failed: {comment}" for state, comment in result.failures]


def summary(roles, results):
    """Return the last line: servers, states, changed, failed, over all."""
    got = [results[server] for server in roles if server in results]
    bad = sum(1 for server in roles if failures(server, results.get(server)))
    return (
        f"{len(roles)} servers, {sum(r.states for r in got)} states, {sum(r.changed for r in got)} changed, "
        f"{sum(len(r.failures) for r in got)} failed; {bad} servers with a failure"
    )


def write(directory, command, phases, outcome, results=None):
    """
    Keep a record of a run as JSON: who, when, what, how long, what came of it.

    directory (pathlib.Path): where the records are.
    command (list of str): the arguments of the lab.
    phases (dict): phase -> seconds.
    outcome (str): "ok", or the line that says why not.
    results (dict): server -> converge.Result.
    """
    directory.mkdir(parents=True, exist_ok=True)
    record = {
        "who": os.environ.get("SUDO_USER") or getpass.getuser(),
        "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "what": command,
        "outcome": outcome,
        "seconds": phases,
        "servers": {server: vars(result) for server, result in (results or {}).items()},
    }
    path = directory / f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _row(server, roles, result):
    if result is None or result.problem:
        return (server, ", ".join(roles), "-", "-", "-", "-")
    numbers = (result.states, result.changed, len(result.failures), f"{result.seconds:.1f}")
    return (server, ", ".join(roles), *map(str, numbers))


def _line(cells, widths):
    left = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return "  ".join([*left, *right])
