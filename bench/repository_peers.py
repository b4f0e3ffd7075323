"""The peers of bench/repositories.py: aptly, reprepro, apt-ftparchive, createrepo_c, the AWS command line and rclone.

Each gets its best options: nothing is made that ours does not make, nothing is cleaned up meanwhile, and as many
transfers at once as ours has.
"""

import gzip
import hashlib
import json
import os
import shutil

from bench.repository_builds import run
from lab import s3

TRANSFERS = 16
HASHES = [f"-oAPT::FTPArchive::{name}=false" for name in ("MD5", "SHA1", "SHA512")]
# As ours: the same tools' index of the same kind.
INDEX = ["--quiet", "--no-database", "--general-compress-type=gz", "--update", "--skip-stat"]


class Aptly:
    """aptly, with its database in a folder; publishes below ``where``: there too, or to a bucket."""

    # Without this it makes other indexes too, and looks for what nobody needs any more.
    lean = True

    def __init__(self, folder, key, where="", endpoint="", bucket="", credentials=("", "")):
        folder.mkdir()
        self._folder, self._key, self._where = folder, key, where
        store = {"region": s3.REGION, "endpoint": endpoint, "bucket": bucket, "acl": "public-read"}
        store |= dict(zip(("awsAccessKeyID", "awsSecretAccessKey"), credentials, strict=True))
        config = {"rootDir": str(folder), "architectures": ["amd64"], "S3PublishEndpoints": {"bench": store}}
        (folder / "conf").write_text(json.dumps({**config, "gpgProvider": "gpg"}))

    def __call__(self, *words):
        """Run it."""
        run("aptly", f"-config={self._folder}/conf", *words, HOME=self._folder, GNUPGHOME=self._key.home)

    def signed(self, verb, *words):
        """Run ``aptly publish`` with what it needs to publish."""
        options = ["-batch", f"-gpg-key={self._key.fingerprint}"]
        if self.lean:
            options += ["-skip-contents", "-skip-bz2"] + ["-skip-cleanup"] * (verb in ("update", "switch"))
        self("publish", verb, *options, *words)

    def first(self, kind, source, family, codename):
        """Publish ``source``, of ``kind`` (repo or snapshot), for the first time."""
        options = ["-acquire-by-hash", f"-distribution={codename}", "-component=non-free"]
        self.signed(kind, *options, source, f"{self._where}{family}")

    def update(self, family, codename):
        """Publish what has come into the repository."""
        self.signed("update", codename, f"{self._where}{family}")

    def switch(self, family, codename, snapshot):
        """Publish a snapshot in the place of another."""
        self.signed("switch", codename, f"{self._where}{family}", snapshot)


class Reprepro:
    """reprepro, with the tree that clients see in a folder of its own; it has no by-hash, and one version of each."""

    def __init__(self, folder, out, key, codenames):
        self._folder, self._out, self._key = folder, out, key
        (folder / "conf").mkdir(parents=True)
        fields = "Codename: {}\nComponents: non-free contrib\nArchitectures: amd64\nSignWith: {}\n"
        text = "\n".join(fields.format(codename, key.fingerprint) for codename in codenames)
        (folder / "conf" / "distributions").write_text(text)

    def include(self, codename, debs):
        """Add packages to a suite."""
        options = ["-b", self._folder, "--outdir", self._out, "--silent", "--silent", "-C", "non-free"]
        run("reprepro", *options, "includedeb", codename, *debs, GNUPGHOME=self._key.home)


class Rescan:
    """A folder of packages of which apt-ftparchive makes the whole index anew, by-hash included."""

    def __init__(self, folder, key):
        self._folder, self._key, self._dists = folder, key, folder / "dists" / "noble"
        (folder / "pool").mkdir(parents=True)

    def add(self, debs):
        """Add packages."""
        for deb in debs:
            shutil.copy(deb, self._folder / "pool")
        lists = self._dists / "non-free" / "binary-amd64"
        (lists / "by-hash" / "SHA256").mkdir(parents=True, exist_ok=True)
        packages = run("env", "-C", self._folder, "apt-ftparchive", *HASHES, "packages", "pool")
        for name, content in {"Packages": packages, "Packages.gz": gzip.compress(packages, 6, mtime=0)}.items():
            (lists / name).write_bytes(content)
            (lists / "by-hash" / "SHA256" / hashlib.sha256(content).hexdigest()).write_bytes(content)
        fields = {"Codename": "noble", "Components": "non-free", "Architectures": "amd64", "Acquire-By-Hash": "yes"}
        options = [f"-oAPT::FTPArchive::Release::{name}={value}" for name, value in fields.items()]
        for name in ("Release", "InRelease", "Release.gpg"):
            (self._dists / name).unlink(missing_ok=True)
        # Of those by hash each would be listed again.
        options += ["-oAPT::FTPArchive::Release::Patterns::=Packages*"]
        (self._dists / "Release").write_bytes(run("apt-ftparchive", *HASHES, *options, "release", self._dists))
        for how, name in (("--clearsign", "InRelease"), ("--detach-sign", "Release.gpg")):
            self._key.gpg("--armor", "--output", self._dists / name, how, self._dists / "Release")


class Createrepo:
    """Releases of packages that rpmsign signs and createrepo_c indexes."""

    def __init__(self, out, key, releases):
        self._out, self._key, self._releases = out, key, releases
        for release in releases:
            (out / release / "Packages").mkdir(parents=True)

    def add(self, rpms, work):
        """Add packages to every release; ``work`` is a folder to be made."""
        work.mkdir()
        own = [shutil.copy(rpm, work) for rpm in rpms]
        sign = ["--define", f"_gpg_name {self._key.fingerprint}", "--define", "__gpg /usr/bin/gpg", "--addsign"]
        run("rpmsign", *sign, *own, GNUPGHOME=self._key.home)
        for release in self._releases:
            tree = self._out / release
            for rpm in own:
                os.link(rpm, tree / "Packages" / os.path.basename(rpm))
            run("createrepo_c", *INDEX, tree)
            self._key.gpg("--armor", "--detach-sign", tree / "repodata" / "repomd.xml")


class Aws:
    """The AWS command line."""

    def __init__(self, folder, program, endpoint, credentials):
        """folder (pathlib.Path): to be made. program (path): the ``aws`` to run."""
        folder.mkdir()
        self._aws = [program, "--endpoint-url", endpoint, "--region", s3.REGION]
        options = f"  addressing_style = path\n  max_concurrent_requests = {TRANSFERS}\n"
        checksums = "request_checksum_calculation = when_required\nresponse_checksum_validation = when_required\n"
        (folder / "config").write_text(f"[default]\n{checksums}s3 =\n{options}")
        self._environment = {"AWS_CONFIG_FILE": folder / "config", "HOME": folder}
        self._environment |= dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), credentials, strict=True))

    def version(self):
        """Do nothing, which takes its time too."""
        run(self._aws[0], "--version", **self._environment)

    def sync(self, folder, bucket):
        """Let the bucket be like the folder; what is not there any more stays, as with ours."""
        options = ["--only-show-errors", "--acl", "public-read"]
        run(*self._aws, "s3", "sync", *options, folder, f"s3://{bucket}", **self._environment)


class Rclone:
    """rclone."""

    def __init__(self, folder, endpoint, credentials):
        config = dict(zip(("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"), credentials, strict=True))
        config |= {"TYPE": "s3", "PROVIDER": "Ceph", "ENDPOINT": endpoint, "ACL": "public-read", "REGION": s3.REGION}
        self._environment = {f"RCLONE_CONFIG_BENCH_{name}": value for name, value in config.items()}
        self._environment |= {"HOME": folder}

    def sync(self, folder, bucket):
        """Let the bucket be like the folder; what is not there any more stays, as with ours."""
        options = ["--checksum", "--fast-list", "--s3-no-check-bucket", "--s3-no-head"]
        options += [f"--transfers={TRANSFERS}", f"--checkers={TRANSFERS}"]
        run("rclone", "copy", *options, folder, f"bench:{bucket}", **self._environment)
