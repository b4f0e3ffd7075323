"""Usage: upgrade.py FOLDER CONFIGURATION: bring the master's database to what its release needs; make it first."""

import sys

from buildbot.config.master import FileLoader
from buildbot.scripts.upgrade_master import upgradeDatabase
from buildbot.util import in_reactor
from twisted.internet import defer


@in_reactor
@defer.inlineCallbacks
def upgrade(folder, file):
    yield upgradeDatabase({"basedir": folder, "quiet": True}, FileLoader(folder, file).loadConfig())
    return True


if __name__ == "__main__":
    # What goes wrong in there is printed, and nothing returned.
    sys.exit(0 if upgrade(*sys.argv[1:]) else 1)
