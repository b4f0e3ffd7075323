"""Jobs for minions that have to answer: all of them, in time, and without an error."""

import salt.client

# A server that is down is found in this many seconds, and asked once more for as many whether it is still at it.
ANSWER = 2
STILL_AT_IT = 2


class JobError(ValueError):
    """A job failed, or its answer did not come; ``failed`` is {server: why}, ``answers`` what the others returned."""

    def __init__(self, function, failed, answers):
        self.function, self.failed, self.answers = function, failed, answers
        super().__init__("\n".join(f"{server}: {why}" for server, why in failed.items()))


def call(opts, servers, function, *arguments, **keywords):
    """
    Call ``function`` (str) on ``servers`` (list of str); return {server: what it returned}.

    opts (dict): the master's configuration.
    Raises JobError unless every server answers without an error. There is no limit for one that is still at it.
    """
    client = salt.client.get_local_client(mopts=opts)
    waits = {"timeout": ANSWER, "gather_job_timeout": STILL_AT_IT}
    asked = {"tgt_type": "list", "full_return": True, **waits}
    found = client.cmd(list(servers), function, list(arguments), kwarg=keywords or None, **asked)
    failed = {server: _why(found.get(server)) for server in servers if _why(found.get(server))}
    answers = {server: found[server]["ret"] for server in servers if server not in failed}
    if failed:
        raise JobError(function, failed, answers)
    return answers


def joined(one, other):
    """Return the JobError that tells of two (JobError)."""
    return JobError(one.function, one.failed | other.failed, one.answers | other.answers)


# What Salt says in the place of an answer.
_SILENT = "Minion did not return"


def _why(answer):
    if not isinstance(answer, dict) or str(answer.get("ret", _SILENT)).startswith(_SILENT):
        return "no answer; is it down, or its salt-minion?"
    if answer.get("retcode"):
        said = str(answer["ret"]).removeprefix("ERROR: ").strip()
        return said.splitlines()[-1] if "Traceback (most" in said else said
    return ""
