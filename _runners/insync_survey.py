"""The operators' look at all servers that nobody knows well enough; it runs on ct1, which keeps what was found."""

import pathlib

import insync_inventory
import insync_lifecycle
import insync_survey_records
import insync_verb
import salt.client

# The one exception that salt-run prints as a line, without a traceback, and with exit code 1.
from salt.exceptions import NotImplemented as Refused

__virtualname__ = "insync"
_checked = insync_verb.checked(Refused)

_SECONDS = 180


def __virtual__():
    return __virtualname__


@_checked
def survey(*names):
    """
    Survey servers, and keep what was found as a record of each, with its date; nothing on them is changed.

    names (str): servers of the inventory; all if none is named.

    Returns a list of dict: server, unknown (how much nobody declares), missing (how much is declared and does not
    listen), incomplete, record (the file). Raises Refused that names the servers that did not answer; the others are
    kept then.

    CLI Example:

    .. code-block:: bash

        salt-run insync.survey
        salt-run insync.survey dev02 sendy
    """
    inventory = _inventory()
    wanted = list(dict.fromkeys(names)) or list(inventory["hosts"])
    for name in wanted:
        _known(inventory, name)
    client = salt.client.get_local_client(mopts=__opts__)
    answers = client.cmd(wanted, "insync.survey", kwarg={"full": True}, tgt_type="list", timeout=_SECONDS)
    try:
        rows = [_kept(name, answers[name]) for name in wanted if isinstance(answers.get(name), dict)]
    except OSError as exc:
        raise Refused(f"{exc.filename}: {exc.strerror}") from exc
    silent = [f"{name}: {_reason(answers.get(name))}" for name in wanted if not isinstance(answers.get(name), dict)]
    if silent:
        raise Refused("\n".join([*silent, f"the other {len(rows)} are kept in {insync_survey_records.FOLDER}"]))
    return {"data": rows, "outputter": "insync_table"}


@_checked
def survey_diff(host, before=None, after=None):
    """
    Print what changed on a server between two surveys that were kept; or, without dates, where the last one and the
    inventory differ.

    host (str): a server of the inventory, or ``all``, of which each is compared in the same way.
    before, after (str): the surveys, by their dates or how these begin, such as 2026-11-26: of several the first one as
    ``before``, the last one as ``after``; the last of all if ``after`` is not given.

    Returns a list of dict: server, declared and found; or server, change (new, gone) and what. Raises Refused for a
    server or a survey that there is not. Of ``all`` the others are compared then, what is not known of that one stands
    in its row as ``unknown``, and the exit code is 1.

    CLI Example:

    .. code-block:: bash

        salt-run insync.survey_diff all
        salt-run insync.survey_diff dev02 2026-11-12
        salt-run insync.survey_diff dev02 2026-11-12 2026-11-26
    """
    inventory = _inventory()
    if host == "all":
        return _all_compared(inventory, before, str(after or ""))
    _known(inventory, host)
    try:
        rows = _compared(inventory, host, before, str(after or ""))
    except insync_survey_records.RecordError as exc:
        raise Refused(str(exc)) from exc
    return {"data": rows, "outputter": "insync_table"}


@_checked
def lifecycle():
    """
    Print the servers that are candidates for removal or merging, why, and what keeps them.

    Returns a list of dict: server, for, reason, waits_for, frozen, surveyed (when last, or "never"), still_used (what
    of it the inventory has others use: services with their clients, public names, redirects).

    CLI Example:

    .. code-block:: bash

        salt-run insync.lifecycle
        salt-run insync.lifecycle --out=json
    """
    rows = insync_lifecycle.candidates(_inventory())
    for row in rows:
        row["surveyed"] = next(iter(insync_survey_records.dates(row["server"])[-1:]), "never")
        # The longest column last.
        row["still_used"] = row.pop("still_used")
    return {"data": rows, "outputter": "insync_table"}


def _all_compared(inventory, before, after):
    """What is to be told of all servers, also if something is not known of one."""
    rows, answer = [], {"outputter": "insync_table"}
    for name in inventory["hosts"]:
        try:
            rows += _compared(inventory, name, before, after)
        except insync_survey_records.RecordError as exc:
            rows.append(_row(before, name, "unknown", str(exc).removeprefix(f"{name}: ")))
            answer["retcode"] = 1
    return {"data": rows, **answer}


def _compared(inventory, name, before, after):
    if before is None:
        differing = insync_survey_records.against(inventory, name, insync_survey_records.read(name, after))
    else:
        servers = {one["private"]: one_name for one_name, one in inventory["hosts"].items()}
        pair = insync_survey_records.pair(name, str(before), after)
        differing = insync_survey_records.differences(*pair, servers)
    return [_row(before, name, *one) for one in differing]


def _row(before, name, first, second):
    columns = ("declared", "found") if before is None else ("change", "what")
    return {"server": name, **dict(zip(columns, (first, second), strict=True))}


def _kept(name, answer):
    file = insync_survey_records.keep(name, answer)
    counts = {key: len(answer[key]) for key in ("unknown", "missing", "incomplete")}
    return {"server": name, **counts, "record": str(file)}


def _reason(answer):
    return str(answer).strip().splitlines()[-1] if answer else "no answer"


def _known(inventory, name):
    try:
        insync_inventory.roles_of(inventory, name)
    except insync_inventory.InventoryError as exc:
        raise Refused(str(exc)) from exc


def _inventory():
    return insync_inventory.load(pathlib.Path(__opts__["pillar_roots"]["base"][0], "inventory"))
