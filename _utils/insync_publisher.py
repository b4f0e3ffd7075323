"""The repositories of this server as pillar declares them: what is made here, what is published, and who signs it."""

import contextlib
import datetime
import functools
import pathlib
import shutil
import tempfile

import insync_bucket
import insync_fetch
import insync_gpg
import insync_manifest
import insync_publish
import insync_published
import insync_repos
import insync_selfcheck
import insync_store
import insync_store_errors
import insync_version

ERRORS = (
    insync_manifest.RepositoryError,
    insync_version.VersionError,
    insync_fetch.FetchError,
    insync_store_errors.StoreError,
)
# boto3 has authorities of its own; the site's are the system's.
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


class Publisher:
    """What the verbs do with both repositories."""

    def __init__(self, pillar):
        """
        pillar (dict): repos, secrets, and current_versions where this server tells them.
        Raises insync_manifest.RepositoryError on a server that has no repositories.
        """
        if "repos" not in pillar:
            raise insync_manifest.RepositoryError("this server has no repositories")
        self._repos, self._secrets = pillar["repos"], pillar["secrets"]
        self._downloads = pillar["current_versions"]["downloads"]
        self._home = pathlib.Path(self._repos["home"])
        buckets = {"apt": self._repos["apt"]["bucket"], "yum": self._repos["yum"]["bucket"]}
        self._roots = {name: insync_repos.Root(self._home, name, self._repos) for name in buckets}
        self._buckets = buckets
        self._say, self._by, self._done = lambda line: None, "", {}

    def begin(self, journal, by, done):
        """Tell ``journal`` (insync_journal.Journal) for ``by`` (str); ``done`` (dict) is what it records."""
        self._say, self._by, self._done = journal.say, by, done

    def check(self, version):
        """Look whether ``version`` (str) can be released; return what there is, as insync.check_client tells it."""
        insync_version.parse(version)
        with self._fetched(version) as folder, self._signer() as signer:
            suites = {
                name: len(insync_repos.add(root, version, folder, signer, self._by, test=True)["units"])
                for name, root in self._roots.items()
            }
            sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
            days = signer.check()
        self._room(sum(sizes.values()))
        for name, root in self._roots.items():
            store = self._store(self._buckets[name])
            insync_publish.publish(store, insync_repos.current(root), root.path, self._memory(name), test=True)
        for platform in self._downloads:
            insync_published.downloadable(self._download(platform, version))
        platforms = {platform: self._download(platform, version) for platform in self._downloads}
        return {"builds": sizes, "platforms": platforms, "signing_key_days": days, "suites": suites}

    def update(self, name, version, backport, partial, test):
        """Add ``version`` (str) to the repository ``name`` (str); return what insync.update_apt_repo does."""
        insync_version.parse(version)
        with self._fetched(version) as folder, self._signer() as signer:
            options = {"backport": backport, "partial": partial, "test": test, "say": self._say}
            made = insync_repos.add(self._roots[name], version, folder, signer, self._by, **options)
        return self._kept({**_summary(made["units"]), **({"missing": made["missing"]} if made["missing"] else {})})

    def sync(self, names, repair, test):
        """Publish what is current of ``names`` (tuple of str, all if empty); as insync.sync_repos."""
        for name in self._named(names):
            root, store = self._roots[name], self._store(self._buckets[name])
            say = functools.partial(self._say_of, name)
            options = {"say": say, "test": test, "repair": repair}
            done = insync_publish.publish(store, insync_repos.current(root), root.path, self._memory(name), **options)
            self._kept({name: {"changes": done.pop("published"), **done}})
        return self._done

    def verify(self, version):
        """Compare what customers are offered with what is current here; return the newest version by suite."""
        if version is not None:
            insync_version.parse(version)
        found = {}
        for name, root in self._roots.items():
            manifests = insync_repos.current(root)
            lacking = [unit for unit, one in manifests.items() if version and not _offers(one, version)]
            if lacking:
                raise insync_manifest.RepositoryError(f"{version}: not offered by {', '.join(lacking)}")
            found[name] = {unit: _newest(manifest) for unit, manifest in manifests.items()}
            self._asked_by_clients(root, manifests)
        return found

    def roll_back(self, names, serial, leaving, test):
        """Let units come back to earlier packages; as insync.rollback_repos, whose arguments these are."""
        done = {}
        for name, units in self._selected(names, serial, leaving).items():
            with self._signer() as signer:
                made = insync_repos.roll_back(self._roots[name], units, signer, self._by, test=test, say=self._say)
            done |= made["units"]
        return self._kept(_summary(done))

    def status(self):
        """Return what insync.repo_status tells."""
        with self._signer() as signer:
            found = {"signing_key_days": signer.check()}
        for name, root in self._roots.items():
            store, manifests = self._store(self._buckets[name]), insync_repos.current(root)
            live = insync_publish.live(store)
            suites = {unit: _told(one, live.get(unit)) for unit, one in manifests.items()}
            found[name] = {"suites": suites, "drift": insync_bucket.drift(store, manifests)}
        return found

    def collect(self, test):
        """Remove what nothing that is retained names; as insync.gc_repos."""
        for name, root in self._roots.items():
            store, keep = self._store(self._buckets[name]), insync_repos.retained(root)
            published = insync_bucket.sweep(store, keep, self._repos["retain"]["days"], test)
            self._kept({name: {"published": published, "local": insync_repos.collect(root, test)}})
        return self._done

    def _say_of(self, name, line):
        self._say(f"{name}: {line}")

    def _kept(self, done):
        self._done |= done
        return done

    @contextlib.contextmanager
    def _fetched(self, version):
        """The folder with what the build left of ``version``, as long as it is needed."""
        source, incoming = self._repos["source"], self._home / "incoming"
        store = self._store(source.removeprefix("s3://").split("/")[0]) if source.startswith("s3://") else None
        self._say(f"fetch {version} from {source}")
        folder = insync_fetch.version(source, version, incoming, store)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def _signer(self):
        return insync_gpg.opened(self._secret(self._repos["signing_key"]))

    def _store(self, bucket):
        told = self._repos["store"]
        return insync_store.Store(
            bucket,
            self._secret(told["access_key"]),
            self._secret(told["secret_key"]),
            endpoint=told["endpoint"] or None,
            region=told["region"],
            ca=AUTHORITIES,
            single_writer=told["single_writer"],
        )

    def _secret(self, reference):
        role, _, key = reference["secret"].partition(":")
        return self._secrets[role][key]

    def _memory(self, name):
        return self._home / name / "published.json"

    def _download(self, platform, version):
        return self._downloads[platform].replace("{version}", version)

    def _room(self, size):
        """Each build is kept once as it came, once as it is signed, and once while it is checked."""
        free = shutil.disk_usage(self._home).free
        if free < 3 * size:
            raise insync_manifest.RepositoryError(f"{self._home}: {free} bytes are free, {3 * size} are needed")

    def _named(self, names):
        strange = [name for name in names if name not in self._roots]
        if strange:
            raise insync_manifest.RepositoryError(f"{strange[0]}: no repository; there is {', '.join(self._roots)}")
        return names or tuple(self._roots)

    def _asked_by_clients(self, root, manifests):
        if not manifests:
            return
        key = next(entry for one in manifests.values() for path, entry in one.legacy.items() if path.endswith(".asc"))
        with tempfile.TemporaryDirectory(prefix="insync-verify-") as work:
            folder = pathlib.Path(work)
            shutil.copy(root.path(key["sha256"]), folder / "insync.asc")
            client = {"apt": insync_selfcheck.apt, "yum": insync_selfcheck.yum}[root.name]
            client(root, list(manifests.values()), root.settings["url"], folder / "insync.asc", folder / "client")

    def _selected(self, names, serial, leaving):
        """Return {repository: {unit: serial to come back to, None for the one before}}."""
        current = {name: insync_repos.current(root) for name, root in self._roots.items()}
        units = [unit for found in current.values() for unit in found]
        for name in names:
            if name not in (*units, *self._roots):
                raise insync_manifest.RepositoryError(f"{name}: no suite; there is {', '.join(units) or 'nothing yet'}")
        if serial is not None and (len(names) != 1 or names[0] not in units):
            raise insync_manifest.RepositoryError("serial: name the one suite whose serial it is, such as ubuntu/noble")
        if serial is not None and not str(serial).isdigit():
            raise insync_manifest.RepositoryError(f"serial={serial}: is no number of a serial")
        found = {}
        for name, manifests in current.items():
            chosen = [unit for unit in manifests if not names or unit in names or name in names]
            if leaving is not None:
                chosen = [unit for unit in chosen if _offers(manifests[unit], leaving)]
            to = {unit: None if serial is None else int(serial) for unit in chosen}
            if leaving is not None:
                to = {unit: self._without(name, unit, leaving) for unit in chosen}
            found |= {name: to} if to else {}
        return found

    def _without(self, name, unit, version):
        for manifest in reversed(insync_repos.manifests(self._roots[name], unit)):
            if not _offers(manifest, version):
                return manifest.serial
        raise insync_manifest.RepositoryError(f"{unit}: no serial without {version} to come back to")


def _summary(units):
    """What is told of ``units`` (dict), as insync_repos returns it: in most cases all get the same files."""
    changes = {
        unit: {"old": made["former"], "new": made["serial"], **({"like": made["like"]} if "like" in made else {})}
        for unit, made in units.items()
    }
    files = {name: sorted({file for made in units.values() for file in made[name]}) for name in ("added", "dropped")}
    return {"changes": changes, **{name: found for name, found in files.items() if found}}


def _offers(manifest, version):
    return any(version in versions for versions in manifest.packages.values())


def _newest(manifest):
    return max((version for found in manifest.packages.values() for version in found), key=insync_version.parse)


def _told(manifest, live):
    return {
        "serial": manifest.serial,
        "version": _newest(manifest),
        "since": datetime.datetime.fromtimestamp(manifest.date, datetime.UTC).isoformat(),
        "by": manifest.by,
        "published": live["serial"] if live else None,
    }
