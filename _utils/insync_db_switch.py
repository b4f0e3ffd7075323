"""How another server becomes the primary of a database, planned or after a loss, and how the former one comes back."""

import time

import insync_db_pair
import insync_jobs
from insync_db_pair import Refused

# How long the relay log's rest may take, a former primary's following, and a write of web's.
APPLY, FOLLOW, WRITE = 120, 60, 60
# What a server says of a log that the primary has not any more, or that goes on otherwise than its own.
_NO_LOG = "1236"


class Failed(ValueError):
    """A step failed; the message says which, where and why, how it stands now, and how to go on."""


class Switch:
    """One run of a verb that changes who is the primary."""

    def __init__(self, pair, jobs, journal, keep, verb, test=False, kept=None):
        """
        pair (insync_db_pair.Pair). jobs (insync_jobs.Jobs, or what calls as it does). journal (insync_journal.Journal).
        keep (callable): keep(primary, fenced, **facts) writes who is the primary from now on.
        verb (str): what was typed. test (bool): only look. kept (dict): what was written the last time.
        """
        self.pair, self.jobs, self.journal, self.keep, self.verb, self.test = pair, jobs, journal, keep, verb, test
        self.kept, self.primary = kept or {}, pair.primary

    # Planned.

    def switchover(self, to):
        """Let the replica ``to`` (str) be the primary, and the primary its replica; return what was done (dict)."""
        with self.journal.phase("look", ", ".join(self.pair.servers)):
            found = {server: self._status(server) for server in self.pair.servers}
            if to == self.pair.primary:
                if self._is_open(found[to]):
                    return {"primary": to, "changes": {}}
                return self._go_on(to, found)
            self._one_open(found)
            insync_db_pair.in_step(found, self.pair, to)
            self._answer([*self.pair.conf, *self.pair.web])
        old = self.pair.primary
        if self.test:
            return self._done(to)
        try:
            with self.journal.phase("close", old), _failing("close"):
                position = self._call(old, "insync_db.close", self.verb)
            with self.journal.phase("catch up", f"{to}, to {position}"), _failing("catch up"):
                self._call(to, "insync_db.caught_up", position, seconds=30)
            with self.journal.phase("declare", f"{to} is the primary"):
                self.keep(to, self._fenced(without=to))
        except (Failed, OSError, ValueError) as exc:
            raise Failed(f"{exc}; {self._opened_again(old)}") from exc
        return self._finish(to, [old], behind=False)

    def _go_on(self, to, found):
        """What a switchover that was ended has left to do, once ``to`` was declared."""
        if isinstance(found[to], str):
            raise Refused(f"{to} is the declared primary already: {found[to]}; nothing was done")
        others = [name for name in self.pair.replicas if isinstance(found[name], dict)]
        self._one_open({name: found[name] for name in others} | {to: {"writable": True}})
        for other in others if found[to]["replication"] and not self.test else ():
            with self.journal.phase("catch up", to), _failing("catch up"):
                self._call(to, "insync_db.caught_up", found[other]["gtid"]["binlog"], seconds=30)
        return self._finish(to, others, behind=bool(found[to]["replication"]))

    def _opened_again(self, old):
        try:
            self._call(old, "insync_db.unfence")
            self._call(old, "insync_db.promote")
        except insync_jobs.JobError as exc:
            return f"and {old} could not be opened again: {exc}; 'salt {old} insync_db.unfence' and its highstate do"
        return f"{old} is the primary as before, and open"

    def _finish(self, to, others, behind):
        """
        What follows once ``to`` is declared.

        others (list of str): they answer and become its replicas. behind (bool): it has not applied all yet.
        """
        if self.test:
            return self._done(to)
        with self._on(f"{to} is declared the primary; '{self.verb}' again goes on"):
            self._open(to, behind)
            self._tell()
            with self.journal.phase("converge", to):
                self._states([to], "mariadb", "firewall")
            for other in others:
                self._follow(other, self._status(to))
            self._well([to, *others])
            written = self._written()
        return {**self._done(to), **written}

    # After a loss.

    def failover(self, to, accept_loss):
        """
        Let the replica ``to`` (str) be the primary, without the one that does not answer; return what was done (dict).

        accept_loss (bool): also if something that was answered may be lost.
        """
        old = self.pair.primary
        with self.journal.phase("look", to):
            # Before the primary, which is waited for.
            new = self._status(to)
            if to == old:
                return self._again(to, new)
            insync_db_pair.replica(new, to, old, restored=True)
            loss = insync_db_pair.evidence(new, old)
        with self.journal.phase("look again", old):
            found = self._status(old)
            self._gone(found, old, to)
            near = self._near(old)
            reaching, silent = self._clients()
            loss = insync_db_pair.unreached(loss, reaching, silent, old)
            self._answer(self.pair.conf)
        if loss["acknowledged_loss"] != "none" and not accept_loss:
            raise Refused(f"what was answered may be lost: {loss['why']}; nothing was done. accept_loss=True does it")
        if self.test:
            return {**self._done(to, old), **loss}
        with self.journal.phase("declare", f"{to} is the primary, {old} is fenced"):
            self.keep(to, [*self._fenced(without=to), old], **loss)
        with self._on(f"{to} is declared the primary, {old} fenced; '{self.verb}' again goes on"):
            self._fence(old, [name for name in self.pair.clients if name not in silent], near)
            position = self._open(to, behind=bool(new["replication"]))
            self._tell()
            with self.journal.phase("converge", to):
                self._states([to], "mariadb", "firewall")
            written = self._written()
        return {**self._done(to, old), **loss, "received": position, **written}

    def _again(self, to, found):
        """Of one that is declared already: nothing, or what a run that was ended has left to do."""
        if self._is_open(found):
            return {"primary": to, "changes": {}}
        if not isinstance(found, dict) or not found["replication"]:
            said = found if isinstance(found, str) else "it is closed for writes; its highstate opens it"
            raise Refused(f"{to} is the declared primary already: {said}; nothing was done")
        if not self.test:
            with self._on(f"'{self.verb}' again goes on"):
                for old in self.pair.fenced:
                    self._fence(old, self._answering(self.pair.clients), self._near(old))
        loss = {key: self.kept[key] for key in ("acknowledged_loss", "why") if key in self.kept}
        return {**self._finish(to, [], behind=True), **loss}

    def _fence(self, old, clients, near):
        """Keep ``clients`` (list of str) from ``old``, and if its minion is ``near`` let nobody open that."""
        with self.journal.phase("fence", f"{old}, from {', '.join(clients)}"):
            self._states(clients, "firewall")
            if near:
                self._call(old, "insync_db.fence", self.verb)

    def _gone(self, found, old, to):
        if isinstance(found, dict) and not (found["fenced"] and not found["writable"]):
            reason = f"{old} still answers{'' if found['writable'] else ', closed for writes'}"
            raise Refused(f"{reason}; nothing was done. 'salt-run insync.switchover_db {to}' loses nothing")

    # Back again.

    def rejoin(self, host):
        """Let ``host`` (str), which was the primary, follow the present one; return what was done (dict)."""
        primary = self.pair.primary
        with self.journal.phase("look", ", ".join([primary, host])):
            if host == primary:
                raise Refused(f"{host} is the declared primary; nothing was done")
            new, found = self._status(primary), self._status(host)
            if not self._is_open(new):
                said = new if isinstance(new, str) else "it is closed for writes"
                raise Refused(f"the primary {primary}: {said}; nothing was done")
            if isinstance(found, dict) and found["writable"]:
                reason = f"{primary} and {host} are both open for writes; nothing was done"
                raise Refused(f"{reason}. Close this one first: 'salt {host} insync_db.close by-hand'")
            if not self._near(host):
                raise Refused(f"{host}: no answer; is it down, or its salt-minion? nothing was done")
        if isinstance(found, dict) and not found["problems"] and host not in self.pair.fenced:
            return {"server": host, "primary": primary, "changes": {}, "salvaged": []}
        if self.test:
            return {"server": host, "primary": primary, "changes": {"replicates": {"new": primary}}, "salvaged": []}
        with self._on(f"{host} stays closed; '{self.verb}' again goes on"):
            salvaged = self._follow(host, new)
            self.keep(primary, self._fenced(without=host))
            with self.journal.phase("let in", ", ".join(self.pair.clients)):
                self._states(self._answering(self.pair.clients), "firewall")
                self._states([primary, host], "mariadb", "firewall")
            self._well([primary, host])
        changes = {"replicates": {"old": None, "new": primary}}
        return {"server": host, "primary": primary, "changes": changes, "salvaged": salvaged}

    def _follow(self, host, primary):
        """
        Let ``host`` replicate the primary, whose status is ``primary`` (dict); return what only it had (list of dict).

        What only it has goes into a file first, and then the data is made anew.
        """
        with self.journal.phase(f"start {host}"):
            runs = self._call(host, "insync_db.start")
        salvaged = self._salvage(host, primary["gtid"]["history"]) if runs else []
        with self.journal.phase(f"follow {self.primary}", host):
            try:
                self._states([host], "mariadb", "firewall")
            except insync_jobs.JobError as exc:
                if _NO_LOG not in str(exc):
                    raise
                self.journal.say(f"{host}: {exc}")
                salvaged += self._salvage(host, primary["gtid"]["history"], anew=True)
                self._states([host], "mariadb", "firewall")
            self._call(host, "insync_db.unfence")
        return salvaged

    def _salvage(self, host, history, anew=False):
        with self.journal.phase(f"salvage of {host}"):
            found = self._call(host, "insync_db.salvage", history)
            for one in found["files"]:
                self.journal.say(f"{host}: {one['rows']} rows that only it had are in {one['file']}")
            if found["lacking"] or anew:
                self._call(host, "insync_db.give_up", history)
        return found["files"]

    # Steps.

    def _open(self, to, behind):
        """Open ``to``, which is ``behind`` (bool) of what it has received; return the last GTIDs that it received."""
        self.primary, position = to, ""
        if behind:
            with self.journal.phase("apply", to):
                position = self._call(to, "insync_db.received", seconds=APPLY)
        with self.journal.phase("open", to):
            self._call(to, "insync_db.promote")
        return position

    def _tell(self):
        with self.journal.phase("tell", ", ".join(self.pair.conf)):
            self.jobs.call(list(self.pair.conf), "insync.conf_load")

    def _written(self):
        """Return what web says of a write (dict): it has taken the new conf, and enters the new primary."""
        for server in self.pair.web[:1]:
            with self.journal.phase("verify", f"a write through web of {server}"):
                return {"written": self._call(server, "insync_slot.writes", insync_db_pair.WEB, seconds=WRITE)}
        return {}

    def _well(self, servers):
        """Wait until nothing is wrong with ``servers``; Failed with what is."""
        with self.journal.phase("well", ", ".join(servers)):
            deadline = time.monotonic() + FOLLOW
            while True:
                found = {server: self._status(server) for server in servers}
                wrong = [line for server, one in found.items() for line in self._wrong(server, one)]
                if not wrong:
                    return
                if time.monotonic() > deadline:
                    raise Failed("; ".join(wrong))
                time.sleep(1)

    def _wrong(self, server, found):
        """What is not as it should be (list of str); of a replica, too, whether it would be good for a failover now."""
        if isinstance(found, str):
            return [f"{server}: {found}"]
        beat = found["heartbeat"]
        if server != self.primary and not found["problems"] and not (beat and beat["semi_sync"]):
            return [f"{server}: no heartbeat says that the primary waits for it"]
        return [f"{server}: {problem}" for problem in found["problems"]]

    # Questions.

    def _status(self, server):
        return insync_db_pair.status(self.jobs, server)

    def _is_open(self, found):
        return isinstance(found, dict) and found["writable"] and not found["replication"] and not found["fenced"]

    def _one_open(self, found):
        both = [server for server, one in found.items() if isinstance(one, dict) and one["writable"]]
        if len(both) > 1:
            reason = f"{' and '.join(both)} are both open for writes; nothing was done"
            raise Refused(f"{reason}. Close the wrong one: 'salt SERVER insync_db.close by-hand'")

    def _near(self, server):
        """Whether its minion answers, whatever its database does."""
        return not self._silent([server])

    def _silent(self, servers):
        try:
            self.jobs.look(list(servers), "test.ping")
        except insync_jobs.JobError as exc:
            return sorted(exc.failed)
        return []

    def _clients(self):
        """Return the clients whom the primary still answers, and those who do not say (lists of str)."""
        silent, arguments = [], (self.pair.address, self.pair.port)
        try:
            answers = self.jobs.look(list(self.pair.clients), "insync_db.answered_by", *arguments)
        except insync_jobs.JobError as exc:
            answers, silent = exc.answers, sorted(exc.failed)
        return sorted(server for server, reached in answers.items() if reached), silent

    def _answering(self, servers):
        silent = self._silent(servers)
        return [server for server in servers if server not in silent]

    def _answer(self, servers):
        silent = self._silent(dict.fromkeys(servers))
        if silent:
            raise Refused(f"{', '.join(silent)}: no answer, and has to hear who is the primary; nothing was done")

    def _fenced(self, without):
        return [name for name in self.pair.fenced if name != without]

    def _call(self, server, function, *arguments, **keywords):
        return self.jobs.call([server], function, *arguments, **keywords)[server]

    def _states(self, servers, *components):
        if servers:
            self.jobs.call(list(servers), "insync_states.apply", *components)

    def _done(self, to, old=None):
        former = old or next((name for name in self.pair.servers if name != to), None)
        return {"primary": to, "changes": {"primary": {"old": former, "new": to}}}

    def _on(self, how):
        return _failing("", how)


class _failing:
    """Let what a server says against a step be Failed, with ``step`` (str) before it and ``how`` (str) after it."""

    def __init__(self, step, how=""):
        self._step, self._how = step, how

    def __enter__(self):
        return self

    def __exit__(self, kind, exc, trace):
        if isinstance(exc, (insync_jobs.JobError, Failed, Refused)):
            words = f"{self._step}: {exc}" if self._step else str(exc)
            raise Failed(f"{words}; {self._how}" if self._how else words) from exc
