#!py
"""The Salt release that the requirements of this checkout pin."""

import pathlib

import insync_release


def run():
    """Return ``{"release": {"salt": <id>}}``; the id names the virtualenv and the wheelhouse."""
    pillar = pathlib.Path(__opts__["pillar_roots"]["base"][0])
    return {"release": {"salt": insync_release.salt_id(pillar.parent)}}
