"""`make rebuild`: a server is lost with all that was on it, and comes back on a bare droplet and from its backups."""

import shlex

import insync_restic
import insync_site

from lab import boot, cloud, master, podman, s3
from lab.errors import LabError
from lab.images import Images
from lab.paths import PREFIX, ROOT
from lab.settings import Settings

# What ct1 keeps; the records of releases come back where the releases are.
KINDS = ("salt_master", "certificates", "conf_server", "repos")
FETCH = """set -eu
apt-get -qq update && apt-get -qq install -y restic >/dev/null
restic -q -o s3.bucket-lookup=path restore latest --host "$1" --tag salt_master --target /root/lost
rm -rf /root/site && cp -a /root/lost/srv/insync/site /root/site
"""


def rebuild(name, progress):
    """
    Make the container of ``name`` (str) anew, from the droplet's image, and let it become the server that it was.

    progress (Progress): what the person sees. Raises LabError.
    """
    settings = Settings()
    settings.servers([name])
    if PREFIX + settings.master not in podman.containers():
        raise LabError("there is no fleet; 'make fleet' boots it")
    images = Images(settings, progress)
    with progress.phase("droplet", [name]):
        boot.boot(settings.boxes([name], [name]), images.names, progress, [name])
        cloud.trust_acme(settings)
    salt = master.Master(settings, progress)
    if name == settings.master:
        _master(salt, settings, images, progress)
    else:
        salt.provide([name])
        salt.run("salt-run", "insync.rebuild", name)
    progress.show(", ".join(f"{phase} {seconds:.0f} s" for phase, seconds in progress.phases.items()))


def _master(salt, settings, images, progress):
    name = settings.master
    with progress.phase("site folder", [name]):
        podman.execute(name, "sh", "-s", name, stdin=_exports(settings, name) + FETCH)
    with progress.phase("master", [name]):
        salt.install(images.wheelhouse, "--keys", "/root/lost/etc/salt/pki")
        podman.execute(name, "rm", "-r", "/root/lost")
    with progress.phase("highstate", [name]):
        salt.sync([name])
        salt.run("salt", name, "insync_states.apply")
    for kind in KINDS:
        with progress.phase(f"restore {kind}", [name]):
            _restore(salt, kind)
    with progress.phase("highstate again", [name]):
        salt.run("systemctl", "restart", "salt-minion")
        salt.wait_for([name])
        salt.run("salt", name, "insync_states.apply")
    with progress.phase("minions"):
        silent = salt.wait_for(settings.inventory["hosts"])
    if silent:
        raise LabError(f"no answer from {', '.join(sorted(silent))}; see 'journalctl -u salt-minion' there")


def _restore(salt, kind):
    salt.run("salt-call", "insync.backup_restore", f"kind={kind}", "aside=True", "test=False")


def _exports(settings, name):
    """What a person would type of what is kept where no server is."""
    key, base = s3.server_key(name), insync_site.read([str(ROOT / "pillar")], "role/base.sls")
    where = {**base["backup_store"], **cloud.pillar(settings.lab)["base"]["backup_store"]}
    told = {
        "RESTIC_REPOSITORY": insync_restic.address(where, name),
        "RESTIC_PASSWORD": key["password"],
        "AWS_ACCESS_KEY_ID": key["s3_access_key"],
        "AWS_SECRET_ACCESS_KEY": key["s3_secret_key"],
    }
    return "".join(f"export {variable}={shlex.quote(value)}\n" for variable, value in told.items())
