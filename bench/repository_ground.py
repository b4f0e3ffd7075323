"""What the tasks of bench/repositories.py share: keys, builds, buckets, and how something is measured."""

import time

from insync_store_parts import parallel

from bench import far, repository_builds, repository_ours
from bench import repository_peers as peers

PREFIX = "insync_bench_"


class Ground:
    """What all tasks share: the keys, the store, the peers that only copy, and how something is measured."""

    def __init__(self, folder, way, aws, small):
        """folder (pathlib.Path): an empty one. way (far.Way). aws (path): the program. small (bool): just a try."""
        self.folder, self.way, self.small, self.buckets = folder, way, small, []
        self.key = repository_builds.Key(folder / "key")
        self.credentials = repository_ours.credentials()
        self.aws = peers.Aws(folder / "aws", aws, way.endpoint, self.credentials)
        self.rclone = peers.Rclone(folder, way.endpoint, self.credentials)
        cut = 2 if small else None
        self.suites = {family: codenames[:cut] for family, codenames in repository_builds.SUITES.items()}
        self.releases = {family: releases[:cut] for family, releases in repository_builds.RELEASES.items()}
        way.requests(0)

    def bucket(self, name):
        """Return the name (str) of a new bucket."""
        bucket = PREFIX + name
        store = repository_ours.opened(bucket, self.way.endpoint)
        store._client.create_bucket(Bucket=bucket)
        self.buckets.append(store)
        return bucket

    def aptly(self, name):
        """Return an Aptly that publishes to a new bucket."""
        bucket = self.bucket(name)
        return peers.Aptly(self.folder / name, self.key, "s3:bench:", self.way.endpoint, bucket, self.credentials)

    def site(self, name, suites, packages):
        """Return the site of ours that publishes ``suites`` to new buckets."""
        buckets = {kind: self.bucket(f"{name}_{kind}") for kind in suites}
        return repository_ours.site(self.folder / name, self.key, self.way.endpoint, buckets, suites, packages)

    def build(self, name, kind, version, packages):
        """Return the folder of a new build."""
        return repository_builds.build(
            self.folder / "builds" / name / kind / version, kind, version, packages, self.key
        )

    def measured(self, what, work):
        """Do ``work``, which may return seconds to leave out, over the long way; return its figures (dict)."""
        # Ours waits for the next second of the clock, if it has to.
        time.sleep(1.1)
        self.way.requests(far.ONE_WAY)
        began = time.perf_counter()
        check = work() or 0
        seconds = time.perf_counter() - began
        sent = self.way.requests(0)
        packages = sum(request.startswith("PUT") and request.endswith((".deb", ".rpm")) for request in sent)
        told = f", with {check:.2f} s of checks by clients" if check else ""
        print(f"{what}: {seconds:.2f} s{told}, {len(sent)} requests, {packages} packages", flush=True)
        return {"seconds": seconds - check, "whole": seconds, "requests": len(sent), "packages": packages}

    def both(self, what, at, steps):
        """Let ours take ``steps(cold)`` in this process, and then in one that starts; return the figures of both."""
        warm, cold = steps(""), steps(".1")
        return {
            "ours": self.measured(f"{what}: ours", lambda: repository_ours.take(at, warm)),
            # From the command to its end, with all that it does.
            "cold": self.measured(f"{what}: ours, cold", lambda: repository_ours.take_cold(at, cold)),
        }

    def close(self):
        """Remove the buckets, and end the agent."""
        self.way.requests(0)
        for store in self.buckets:
            parallel(store.delete, store.list())
            store._client.delete_bucket(Bucket=store.bucket)
        self.key.close()


def debs(folder):
    """Return the packages (list of pathlib.Path) of a build."""
    return sorted(path for path in folder.iterdir() if path.suffix in (".deb", ".rpm"))
