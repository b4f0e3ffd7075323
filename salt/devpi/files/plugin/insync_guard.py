"""Managed by Salt. A devpi plugin that closes two ways: from the public index into ours, and from ours out to anywhere.

A name with a reserved prefix exists in our own indexes or not at all. devpi itself keeps only those names from the
mirror that the index has which is asked, or a base of it; any other would be fetched from the public index, where
anybody may upload it. So our indexes take no name without such a prefix: it would be ours in some of them only.

Whoever may read could also order devpi to push packages to a URL of their choice.
"""

import re

from devpi_server import model, views
from devpi_server.mirror import MirrorStage
from pluggy import HookimplMarker

hookimpl = HookimplMarker("devpiserver")


def normalized(name):
    """Return ``name`` (str) as indexes compare it: insync_Web is insync-web."""
    return re.sub(r"[-_.]+", "-", name).lower()


class Reserved:
    """The names that are ours."""

    prefixes = ()

    @classmethod
    def has(cls, project):
        """Return whether ``project`` (str), as anybody may write it, is one of them."""
        return normalized(str(project)).startswith(cls.prefixes)


class GuardedStage(model.PrivateStage):
    """An index of ours, with our names only. Whatever is uploaded, registered or moved here, this method is asked."""

    def set_versiondata(self, metadata):
        """Register a version; raises ValueError, which is told to who has sent it, for a name that is not ours."""
        if not Reserved.has(metadata.get("name", "")):
            names = " or ".join(Reserved.prefixes)
            raise ValueError(f"{metadata.get('name')} is refused, names of packages of ours begin with {names}")
        super().set_versiondata(metadata)


class GuardedMirror(MirrorStage):
    """A mirror that does not know the reserved names; every index that has it as a base asks these two methods."""

    def has_project_perstage(self, project):
        """Return False for a reserved name, without asking the mirrored index."""
        return False if Reserved.has(project) else super().has_project_perstage(project)

    def get_simplelinks_perstage(self, project):
        """Return the files of ``project``; a reserved one is not found, even if the mirror has kept some of it."""
        if Reserved.has(project):
            raise self.UpstreamNotFoundError(f"{project} is a reserved name")
        return super().get_simplelinks_perstage(project)


def refuse_push(view, *arguments):
    """Answer the order to push packages to another server."""
    return views.apiresult(403, "packages are not pushed to other servers")


@hookimpl
def devpiserver_add_parser_options(parser):
    """Without this plugin devpi-server does not know the option, and does not start."""
    group = parser.addgroup("guard")
    group.addoption("--reserved-prefixes", help="what names that are ours begin with (a,b)")


@hookimpl
def devpiserver_pyramid_configure(config, pyramid_config):
    """Put what is guarded in place of devpi's own, before the first request; a devpi without it does not start."""
    replaced = (MirrorStage.has_project_perstage, MirrorStage.get_simplelinks_perstage, views.PyPIView._push_external)
    assert all(map(callable, (*replaced, model.PrivateStage.set_versiondata)))
    prefixes = [normalized(prefix) for prefix in config.args.reserved_prefixes.split(",")]
    assert all(prefixes)
    Reserved.prefixes = tuple(prefixes)
    model.PrivateStage = GuardedStage
    model.User.MirrorStage = GuardedMirror
    views.PyPIView._push_external = refuse_push
