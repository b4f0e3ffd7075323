"""Jobs for minions that have to answer: all of them, in time, and without an error."""

import threading

import salt.client

# Who does not answer in this many seconds is asked whether it is still at it, and has some more to say so: of what is
# only looked at less, because nothing is half done where it is given up.
ANSWER = 2
STILL_AT_IT = 3
STILL_LOOKING = 1


class JobError(ValueError):
    """A job failed, or its answer did not come; ``failed`` is {server: why}, ``answers`` what the others returned."""

    def __init__(self, function, failed, answers):
        self.function, self.failed, self.answers = function, failed, answers
        super().__init__("\n".join(f"{server}: {why}" for server, why in failed.items()))


class Jobs:
    """The jobs of one run; each thread keeps its connection to the master, which takes some time to make."""

    def __init__(self, opts, still=STILL_AT_IT):
        """
        opts (dict): the master's configuration.
        still (int): for how many seconds who is asked whether it is still at it may not say so: it has much to do.
        """
        self._opts, self._still, self._own = opts, still, threading.local()

    def call(self, servers, function, *arguments, **keywords):
        """
        Call ``function`` (str) on ``servers`` (list of str); return {server: what it returned}.

        Raises JobError unless every server answers without an error. There is no limit for one that is still at it.
        """
        return self._call(self._still, servers, function, arguments, keywords)

    def look(self, servers, function, *arguments):
        """Like ``call``, for what changes nothing and answers at once: who is down is found a second earlier."""
        return self._call(STILL_LOOKING, servers, function, arguments, {})

    def _call(self, still, servers, function, arguments, keywords):
        asked = {"tgt_type": "list", "full_return": True, "timeout": ANSWER, "gather_job_timeout": still}
        found = self._client().cmd(list(servers), function, list(arguments), kwarg=keywords or None, **asked)
        failed = {server: _why(found.get(server)) for server in servers if _why(found.get(server))}
        answers = {server: found[server]["ret"] for server in servers if server not in failed}
        if failed:
            raise JobError(function, failed, answers)
        return answers

    def _client(self):
        if not hasattr(self._own, "client"):
            self._own.client = salt.client.get_local_client(mopts=self._opts)
        return self._own.client


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
