#!py
"""The people who may enter the servers, from the site folder."""

import insync_operators


def run():
    """Return ``{"operators": {name: {uid, groups, keys}}}``; nobody at all is an error."""
    return {"operators": insync_operators.load(__opts__["pillar_roots"]["base"])}
