"""The pillar of this server as the master has it now; what a module is given is as old as the minion's last refresh."""

import salt.pillar
from salt.exceptions import CommandExecutionError


def compile(opts, grains):
    """
    Return the pillar (dict) of the minion.

    opts, grains (dict): the minion's configuration and grains.
    Raises CommandExecutionError if it cannot be rendered.
    """
    found = salt.pillar.get_pillar(opts, grains, opts["id"], opts.get("saltenv")).compile_pillar()
    if found.get("_errors"):
        raise CommandExecutionError(f"the pillar of this server cannot be rendered: {found['_errors'][0]}")
    return found
