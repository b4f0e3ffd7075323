"""What is declared of a server, as its survey needs it: by the inventory, and by its states."""

import pathlib
import re

# Their functions say what is not to be there.
_GONE = ("absent", "removed", "purged", "dead", "disabled", "masked")
_UNITS = ("service", "insync_unit")
_FOLDERS = {("file", "directory"), ("file", "recurse")}


def plan(high, allow, slots, known):
    """
    Return what ``insync_survey.survey`` is to take for declared (dict).

    high (dict): its states, as ``state.show_highstate`` tells them: id -> state module -> what it is given.
    allow, slots (list, dict): of the inventory, what the server offers, and of what one slot serves at a time.
    known (dict): path or pattern -> why nobody needs to ask.

    Only what our states write themselves counts, and folders that they make for one purpose; so a hand-made file beside
    theirs is still asked about.
    """
    every = [state for one in high.values() if isinstance(one, dict) for state in _states(one)]
    states = [state for state in every if not state["function"].endswith(_GONE)]
    gone = [state for state in every if (state["module"], state["function"]) == ("file", "absent")]
    return {
        "allow": [{key: rule[key] for key in _RULE} for rule in allow],
        "slots": slots,
        "known": known,
        "files": sorted({name for state in states if state["module"] == "file" for name in state["names"]}),
        "gone": sorted({name for state in gone for name in state["names"]}),
        "places": sorted({place for state in states for place in _places(state)}),
        "units": sorted({unit for state in states if state["module"] in _UNITS for unit in map(_unit, state["names"])}),
        "users": sorted({"root", *(name for state in states if state["module"] == "user" for name in state["names"])}),
        "databases": sorted({name for state in states for name in _databases(state)}),
    }


_RULE = ("service", "unit", "address", "protocol", "port")


def _states(one):
    """Every state below an id."""
    for module, given in one.items():
        if isinstance(given, list):
            function = next((part for part in given if isinstance(part, str)), "")
            arguments = {key: value for part in given if isinstance(part, dict) for key, value in part.items()}
            names = arguments.get("names") or [arguments.get("name", "")]
            names = [name if isinstance(name, str) else next(iter(name)) for name in names]
            yield {"module": module, "function": function, "names": names, "arguments": arguments}


def _unit(name):
    return name if re.search(r"\.(service|socket|timer|path)$", name) else f"{name}.service"


def _places(state):
    """The folders whose content is the state's business: its own, and what a state of ours is given as a path."""
    if (state["module"], state["function"]) in _FOLDERS:
        return [name for name in state["names"] if _deep(name)]
    if state["module"].startswith("insync_"):
        return [value for value in (*_texts(state["arguments"]), *_of_certbot(state)) if _deep(value)]
    return []


def _of_certbot(state):
    """Where certbot keeps what a state of ours has it order."""
    names = state["names"] if state["module"] == "insync_certificate" else ()
    return [f"/etc/letsencrypt/live/{pathlib.PurePath(name).stem}" for name in names]


def _deep(path):
    """Whether ``path`` is one of a single purpose: no /etc, /var/lib or /usr/local/bin."""
    depth = 3 if path.startswith(("/var/", "/usr/", "/etc/", "/home/")) else 2
    return re.fullmatch(rf"(/[^/]+){{{depth},}}/?", path) is not None and not path.startswith("/etc/systemd")


def _texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _databases(state):
    arguments = state["arguments"]
    found = [arguments.get("database")]
    if re.search("insync_db|mysql|postgres|database", f"{state['module']}.{state['function']}"):
        found += [*state["names"], *(arguments.get("databases") or [])]
    return [name for name in found if isinstance(name, str) and "/" not in name]
