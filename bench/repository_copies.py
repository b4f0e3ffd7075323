"""What changes nothing, or little: many objects to the store, and one package into a large local repository."""

import hashlib
import shutil
import time

import insync_manifest
import insync_repos

from bench import repository_ours
from bench import repository_peers as peers
from bench.repository_builds import content, names
from bench.repository_ground import debs

UNIT, POOL, COMMIT = "ubuntu/noble", "ubuntu/pool/non-free/i/insync", "ubuntu/dists/noble/InRelease"
CHANGED = 5


class Sync:
    """2,000 objects to the store of which nothing has changed, or five and the index that names them."""

    def __init__(self, ground):
        self.ground, self.tree, self.serial = ground, ground.folder / "sync_tree", 0
        self.buckets = {who: ground.bucket(f"sync_{who}") for who in ("aws", "rclone")}
        self.site = ground.site("sync", {"apt": {"ubuntu": ["noble"]}}, names(1))
        self.root = insync_repos.Root(self.site["home"], "apt", self.site["declared"])
        self.entries, self.steps = {}, [("publish", "apt")]
        (self.tree / POOL).mkdir(parents=True)
        (self.tree / COMMIT).parent.mkdir(parents=True)
        self._change((100 if ground.small else 2000) - 1)
        self._sync(ground.aws, "aws")
        self._sync(ground.rclone, "rclone")
        repository_ours.take(self.site, self.steps)

    def _sync(self, tool, who):
        tool.sync(self.tree, self.buckets[who])

    def _change(self, count=CHANGED):
        """Let ``count`` new packages and another index be on this disk, for everybody."""
        self.serial += 1
        new = {f"{POOL}/insync_{self.serial}.{number}_amd64.deb": number for number in range(count)}
        bodies = {key: content(str(self.serial), str(number)) for key, number in new.items()}
        bodies[COMMIT] = f"Serial: {self.serial}\n".encode()
        entries, moved = {}, {}
        for key, body in bodies.items():
            (self.tree / key).write_bytes(body)
            entries[key] = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}
            moved[self.ground.folder / f"sync_{len(moved)}"] = entries[key]
            (self.ground.folder / f"sync_{len(moved) - 1}").write_bytes(body)
        self.root.keep(moved)
        commit = {COMMIT: entries.pop(COMMIT)}
        self.entries |= entries
        facts = {"by": "bench", "what": "sync", "packages": {"insync": ["1"]}, "pair": {}, "legacy": {}}
        facts |= {"immutable": dict(self.entries), "commit": commit, "date": int(time.time())}
        self.root.commit([insync_manifest.Manifest("apt", UNIT, self.serial, **facts)])

    def round(self, number):
        """Return {task: {who: figures}}."""
        ground = self.ground
        same = self._peers("unchanged") | ground.both("unchanged", self.site, lambda cold: self.steps)
        self._change()
        changed = self._peers("changed")
        work = {"ours": repository_ours.take, "cold": repository_ours.take_cold}
        changed["ours"] = ground.measured("changed: ours", lambda: work["ours"](self.site, self.steps))
        time.sleep(1)
        self._change()
        changed["cold"] = ground.measured("changed: ours, cold", lambda: work["cold"](self.site, self.steps))
        self._sync(ground.aws, "aws")
        self._sync(ground.rclone, "rclone")
        return {"same": same, "changed": changed}

    def _peers(self, what):
        ground = self.ground
        return {
            "aws": ground.measured(f"{what}: aws s3 sync", lambda: self._sync(ground.aws, "aws")),
            "rclone": ground.measured(f"{what}: rclone", lambda: self._sync(ground.rclone, "rclone")),
        }


class Local:
    """One package into a repository on this disk."""

    def __init__(self, ground, size):
        """size (int): how many packages it has."""
        self.ground, self.name, packages = ground, f"local{size}", names(size)
        folder = ground.folder / self.name
        first = ground.build(self.name, "apt", "1.0", packages)
        self.aptly = peers.Aptly(ground.folder / f"{self.name}_aptly", ground.key)
        self.aptly("repo", "create", "one")
        self.aptly("repo", "add", "one", *debs(first))
        self.aptly.first("repo", "one", "ubuntu", "noble")
        out = ground.folder / f"{self.name}_out"
        self.reprepro = peers.Reprepro(ground.folder / f"{self.name}_reprepro", out, ground.key, ["noble"])
        self.reprepro.include("noble", debs(first))
        self.rescan = peers.Rescan(ground.folder / f"{self.name}_rescan", ground.key)
        self.rescan.add(debs(first))
        suites = {"apt": {"ubuntu": ["noble"]}}
        self.site = repository_ours.site(folder, ground.key, "", {"apt": ""}, suites, packages)
        repository_ours.take(self.site, [("add", "apt", "1.0", str(first))])
        self.site["declared"]["apt"]["packages"] = names(1)
        # Of this all have a copy.
        shutil.rmtree(first)

    def round(self, number):
        """Return {task: {who: figures}}."""
        ground, versions = self.ground, {"": f"1.{number}", ".1": f"1.{number}.1"}
        builds = {cold: ground.build(self.name, "apt", version, names(1)) for cold, version in versions.items()}
        new = debs(builds[""])

        def aptly():
            self.aptly("repo", "add", "one", *new)
            self.aptly.update("ubuntu", "noble")

        found = {
            "reprepro": ground.measured(f"{self.name}: reprepro", lambda: self.reprepro.include("noble", new)),
            "aptly": ground.measured(f"{self.name}: aptly", aptly),
            "rescan": ground.measured(f"{self.name}: apt-ftparchive", lambda: self.rescan.add(new)),
        }

        def steps(cold):
            return [("add", "apt", versions[cold], str(builds[cold]))]

        return {self.name: found | ground.both(self.name, self.site, steps)}
