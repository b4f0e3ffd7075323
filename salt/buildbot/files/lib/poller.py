"""What asks a Mercurial repository for news, and says so if it gets no answer."""

import os

from buildbot.changes.hgpoller import HgPoller
from buildbot.util import runprocess
from twisted.internet import defer
from twisted.python import log


class Poller(HgPoller):
    """
    Buildbot's own begins with the first change after the one that it finds first, and says nothing if hg fails.

    This one takes the first that it finds for a change, too: the first push into a new repository is built.
    """

    @defer.inlineCallbacks
    def _getChanges(self):
        yield self._initRepository()
        command = [self.hgbin, "pull", "--quiet", "-b", self.branches[0], self.repourl]
        status, _, said = yield runprocess.run_process(
            self.master.reactor, command, workdir=self._absWorkdir(), env=os.environ
        )
        # In a repository without any change there is no branch.
        if status and b"unknown branch" not in said:
            log.msg(f"{self.name}: hg pull ended with {status}: {said.decode(errors='replace').strip()}")

    @defer.inlineCallbacks
    def _processChanges(self):
        # Without this it would complain at every poll of a repository that nobody has pushed to yet.
        if os.path.exists(f"{self._absWorkdir()}/.hg/store/00changelog.i"):
            yield super()._processChanges()

    @defer.inlineCallbacks
    def _processBranchChanges(self, new_rev, branch):
        self.lastRev.setdefault(branch, f"p1({new_rev})")
        yield super()._processBranchChanges(new_rev, branch)
