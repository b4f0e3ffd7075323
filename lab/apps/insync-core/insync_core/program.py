"""How the applications begin: with their conf, or with one line that says why not."""

import sys

from insync_core import settings
from insync_core.conf import Conf


def conf(needs):
    """Return the Conf of this process; ends it where the unit's settings are wrong."""
    try:
        return Conf(settings.load(), needs)
    except settings.SettingsError as exc:
        sys.exit(f"settings: {exc}")
