"""What Insync's build does, and what production's database holds already: packages on dev's index, tables on db."""

import os
import re
import urllib.parse

import insync_inventory
import yaml

from lab import podman, preflight, standins
from lab.errors import LabError
from lab.paths import LAB, LABEL, PREFIX, ROOT, SITE
from lab.podman import flags
from lab.shell import run

INDEX, UPLOADER = "stable", "uploader"


class Publisher:
    """Puts the stand-ins' packages on the private index, and the tables that they need into the database."""

    def __init__(self, settings, images, progress):
        self.inventory = settings.inventory
        self.image = images.names["world"]
        self.progress = progress
        self.devpi = _yaml(ROOT / "pillar" / "role" / "pypi_server.sls")["devpi"]

    def after(self, results):
        """Do what can be done once the servers of ``results`` (dict) have converged without a failure."""
        done = [server for server, result in results.items() if not (result.problem or result.failures)]
        for server in insync_inventory.hosts_with(self.inventory, "pypi_server"):
            if server in done:
                self._packages(server)
        roles = (insync_inventory.PRIMARY, insync_inventory.REPLICA)
        for server in [server for role in roles for server in insync_inventory.hosts_with(self.inventory, role)]:
            if server in done and self._is_open(server):
                schema = (LAB / "apps" / "schema.sql").read_text(encoding="utf-8")
                podman.execute(server, "mariadb", stdin=schema, what=f"{server}: schema.sql")

    def _is_open(self, server):
        """Whether its database is written: root could write to a replica, too, which would be one no more."""
        command = ["mariadb", "--batch", "--skip-column-names", "--execute", "SELECT @@GLOBAL.read_only"]
        return podman.execute(server, *command).stdout.strip() == "0"

    def _packages(self, server):
        endpoint = insync_inventory.endpoints(self.inventory)["pypi"]
        url = f"https://{endpoint['hosts'][server]}:{endpoint['port']}/{self.devpi['owner']}/{INDEX}/"
        missing = [wheel for wheel in standins.build() if not self._is_there(server, url, wheel)]
        if not missing:
            return
        self.progress.say(f"{server}: uploading {len(missing)} packages")
        self._twine(server, url, missing)

    def _is_there(self, server, url, wheel):
        """Whether the index has this very file; raises LabError if it has another one of that name."""
        project = wheel.name.split("-")[0].replace("_", "-")
        command = ["curl", "--silent", "--cacert", "/etc/insync/fleet-ca.crt", f"{url}+simple/{project}/"]
        page = podman.execute(server, *command).stdout
        found = re.search(rf"{re.escape(wheel.name)}#sha256=(\w+)", page)
        if found and found[1] != standins.sha256(wheel):
            raise LabError(f"{server}: has another {wheel.name}, and a version is never replaced; 'make stop' first")
        return bool(found)

    def _twine(self, server, url, wheels):
        """Upload with twine, in a container that borrows the network of ``server``: nothing of it stays there."""
        folder, name = wheels[0].parent, urllib.parse.urlsplit(url).hostname
        secrets = _yaml(LAB / "fake_secrets.yaml")
        environment = {
            **os.environ,
            "TWINE_PASSWORD": secrets["pypi_server"][f"{UPLOADER}_password"],
            "TWINE_USERNAME": UPLOADER,
            "TWINE_REPOSITORY_URL": url,
        }
        hosts = folder / "hosts"
        hosts.write_text(f"{self.inventory['hosts'][server]['private']} {name}\n", encoding="utf-8")
        # By name: what podman is told on its command line is in the process list.
        options = [option for key in sorted(set(environment) - set(os.environ)) for option in ("--env", key)]
        options += ["--env", "REQUESTS_CA_BUNDLE=/fleet-ca.crt"]
        options += [*preflight.ulimits(), "--network", f"container:{PREFIX}{server}"]
        for outside, inside in ((folder, "/wheels"), (SITE / "tls" / "ca.crt", "/fleet-ca.crt"), (hosts, "/etc/hosts")):
            options += ["--volume", f"{outside}:{inside}:ro"]
        command = ["twine", "upload", "--non-interactive", "--disable-progress-bar"]
        command += [f"/wheels/{wheel.name}" for wheel in wheels]
        argv = ["podman", *flags(), "run", "--rm", "--label", f"{LABEL}=true", *options, self.image, *command]
        run(argv, env=environment, what=f"{server}: twine upload")


def _yaml(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))
