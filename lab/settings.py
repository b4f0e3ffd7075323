"""What the lab is to boot: the inventory's servers and what lab.yaml adds, as containers with their networks."""

import dataclasses
import functools
import hashlib
import json

import insync_inventory
import yaml

from lab.errors import LabError
from lab.paths import CACHE, LAB, PREFIX, ROOT

APT_PROXY_PORT = 3142


@dataclasses.dataclass(frozen=True)
class Box:
    """A container: its name in the fleet, its image, its networks with addresses."""

    name: str
    image: str
    networks: tuple
    dns: str = ""
    volumes: tuple = ()

    @property
    def container(self):
        """Its name for podman."""
        return PREFIX + self.name

    def digest(self):
        """Return a hash of what cannot be changed once the container is there."""
        return digest(self.networks, self.dns, self.volumes)


class Settings:
    """The inventory and lab.yaml, read once."""

    def __init__(self, root=ROOT):
        self.lab = yaml.safe_load((LAB / "lab.yaml").read_text(encoding="utf-8"))
        self.packages = yaml.safe_load((LAB / "images.yaml").read_text(encoding="utf-8"))
        directory = root / "pillar" / "inventory"
        problems = insync_inventory.problems(directory, roles_dir=root / "salt" / "role")
        if problems:
            raise LabError("\n".join(problems))
        self.inventory = insync_inventory.load(directory)
        self.subnets = {
            "public": self.lab["public_subnet"],
            "private": self.inventory["networks"]["private"]["subnet"],
        }

    @property
    def cloud(self):
        """The address of insync-cloud: DNS and the package cache."""
        return self.lab["cloud"]["public"]

    def servers(self, names=()):
        """
        Return the servers to boot, in the inventory's order: all, or ct1, ``names`` (list of str) and what they need.

        Raises LabError naming an unknown server and the nearest known one.
        """
        try:
            for name in names:
                insync_inventory.roles_of(self.inventory, name)
        except insync_inventory.InventoryError as exc:
            raise LabError(str(exc)) from exc
        return insync_inventory.with_needed(self.inventory, [self.master, *(names or self.inventory["hosts"])])

    @functools.cached_property
    def master(self):
        """The server that is the salt-master."""
        return insync_inventory.hosts_with(self.inventory, "salt_master")[0]

    def roles(self, server):
        """Return the roles of ``server``."""
        return insync_inventory.roles_of(self.inventory, server)

    def boxes(self, servers, blank=()):
        """Return the Boxes of ``servers``, and of the world and the cloud."""
        hosts = self.inventory["hosts"]
        boxes = [
            Box("cloud", "cloud", (("public", self.cloud), ("uplink", "")), volumes=(_APT_CACHE,)),
            Box("world", "world", (("public", self.lab["world"]["public"]),), self.cloud),
        ]
        for name in servers:
            networks = (("private", hosts[name]["private"]), ("public", hosts[name]["public"]))
            boxes.append(Box(name, "droplet" if name in blank else "server", networks, self.cloud))
        return boxes


_APT_CACHE = (str(CACHE / "apt"), "/var/cache/apt-cacher-ng")


def digest(*things):
    """Return 12 hex digits that stand for ``things`` (anything that JSON can say)."""
    return hashlib.sha256(json.dumps(things, sort_keys=True).encode()).hexdigest()[:12]
