"""The operators' look at a server that nobody knows well enough."""

import json
import pathlib
import subprocess
import sys

import insync_fresh_pillar
import insync_survey
import insync_survey_lines
import insync_survey_plan
import insync_verb
from salt.exceptions import CommandExecutionError, SaltInvocationError

__virtualname__ = "insync"

# It takes a second on a small server; one with millions of files is cut short by itself.
_SECONDS = 120


def __virtual__():
    return __virtualname__


@insync_verb.checked(SaltInvocationError)
def survey(full=False):
    """
    Look at what is on this server, and at what of it nobody has declared. Nothing is changed, and no secret is told.

    full (bool): everything that was found, as ``salt-run insync.survey`` keeps it.

    Declared is what the inventory says, what the states of this server say, what packages brought and nobody changed,
    and what the pillar ``survey: known`` explains.

    Returns a dict: ``when``, ``seconds``, ``unknown`` (list of str: what nobody declares), ``missing`` (list of str:
    what is declared, and does not listen), ``incomplete`` (list of str: where it could not look to the end), and
    ``found``: how many (str), or if ``full`` all of them. Raises CommandExecutionError if it does not come to an end.

    CLI Example:

    .. code-block:: bash

        salt dev02 insync.survey
        salt dev02 insync.survey full=True
    """
    if not isinstance(full, bool):
        raise SaltInvocationError(f"full: {full!r} is neither True nor False")
    pillar, states = insync_fresh_pillar.compile(__opts__, __grains__.value()), _states()
    known, allow, slots = pillar["survey"]["known"], pillar["firewall"]["allow"], pillar["slots"]
    found = _look(insync_survey_plan.plan(states, allow, slots, known))
    if not states:
        found["incomplete"].append("states: they do not render here, so what they made is asked about as well")
    servers = {peer["private"]: name for name, peer in pillar["peers"].items()}
    found["unknown"] = insync_survey_lines.unknown(found["found"], servers)
    if not full:
        found["found"] = ", ".join(f"{len(rows)} {section}" for section, rows in found["found"].items() if rows)
    return found


def _look(plan):
    """Survey as a process of its own, which nothing waits for and whose memory is given back."""
    command = [sys.executable, "-B", str(pathlib.Path(insync_survey.__file__).resolve())]
    try:
        done = subprocess.run(
            command, input=json.dumps(plan), capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise CommandExecutionError(f"no end after {_SECONDS} s") from exc
    if done.returncode != 0:
        # Only the kind of error: what it says might quote a file.
        said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        raise CommandExecutionError(f"the survey failed: {said[-1].split(':')[0]}")
    return json.loads(done.stdout)


def _states():
    """The states that this server is to have (dict), as Salt renders them; none if they do not render."""
    # Not in a queue: while another run goes on Salt would leave it for later, and answer with a dict that says so.
    high = __salt__["state.show_highstate"](queue=False, concurrent=True)
    return high if isinstance(high, dict) else {}
