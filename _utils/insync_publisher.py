"""The repositories of this server as pillar declares them: what is made here, what is published, and who signs it."""

import contextlib
import datetime
import functools
import pathlib
import shutil
import tempfile

import insync_bucket
import insync_conf
import insync_fetch
import insync_gpg
import insync_manifest
import insync_publish
import insync_published
import insync_repos
import insync_store
import insync_store_errors
import insync_version
import insync_versions

ERRORS = (
    insync_conf.ConfError,
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
        pillar (dict): repos, secrets and current_versions.
        Raises insync_manifest.RepositoryError on a server that has no repositories, insync_conf.ConfError if it lacks
        a secret.
        """
        if "repos" not in pillar:
            raise insync_manifest.RepositoryError("this server has no repositories")
        self._repos, self._told = pillar["repos"], pillar["current_versions"]
        store = self._repos["store"]
        named = {"sign": self._repos["signing_key"], "access": store["access_key"], "secret": store["secret_key"]}
        self._keys = insync_conf.resolve(named, {}, pillar["secrets"])
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
        wanted = insync_version.parse(version)
        self._not_behind(wanted)
        live = {name: self._live(name, version) for name in self._roots}
        with self._fetched(version) as folder, self._signer() as signer:
            suites = {
                name: len(insync_repos.add(root, version, folder, signer, self._by, test=True)["units"])
                for name, root in self._roots.items()
            }
            sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
            days = signer.check()
            warning = signer.warning(days)
        self._room(sum(sizes.values()))
        downloads = self._told["downloads"]
        platforms = {name: insync_published.download(downloads, name, version) for name in downloads}
        for url in platforms.values():
            insync_published.downloadable(url)
        facts = {"builds": sizes, "platforms": platforms, "signing_key_days": days, "suites": suites}
        return {**facts, "live": all(live.values()), **({"warning": warning} if warning else {})}

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
            lacking = [unit for unit, one in manifests.items() if version and not one.offers(version)]
            if lacking:
                raise insync_manifest.RepositoryError(f"{version}: not offered by {', '.join(lacking)}")
            found[name] = {unit: _newest(manifest) for unit, manifest in manifests.items()}
            self._asked_by_clients(root, manifests)
            files = {key: entry for manifest in manifests.values() for key, entry in manifest.files().items()}
            insync_published.there(root.settings["url"], files)
        return found

    def roll_back(self, names, serial, leaving, test):
        """Let units come back to earlier packages; as insync.rollback_repos, whose arguments these are."""
        if leaving is not None:
            insync_version.parse(leaving)
        done = {}
        for name, units in self._selected(names, serial, leaving).items():
            told = {"test": test, "say": functools.partial(self._say_of, name)}
            with self._signer() as signer:
                if leaving is None:
                    to = dict.fromkeys(units, serial)
                    made = insync_repos.roll_back(self._roots[name], to, signer, self._by, **told)
                else:
                    made = insync_repos.withdraw(self._roots[name], units, leaving, signer, self._by, **told)
            done |= made["units"]
            # Of two roots the one is done when the other fails.
            self._kept(_summary(done))
        return self._kept(_summary(done))

    def status(self):
        """Return what insync.repo_status tells."""
        found = {"signing_key_days": self._key_days()}
        for name, root in self._roots.items():
            store, manifests = self._store(self._buckets[name]), insync_repos.current(root)
            live = insync_publish.live(store)
            suites = {unit: _told(one, live.get(unit)) for unit, one in manifests.items()}
            published = {unit: _of_serial(root, one, live.get(unit)) for unit, one in manifests.items()}
            found[name] = {"suites": suites, "drift": insync_bucket.drift(store, published)}
        return found

    def _key_days(self):
        # What is offered is asked for then most of all.
        try:
            with self._signer() as signer:
                return signer.check()
        except insync_manifest.RepositoryError as exc:
            return str(exc)

    def collect(self, test):
        """Remove what nothing that is retained names; as insync.gc_repos."""
        for name, root in self._roots.items():
            store, retained = self._store(self._buckets[name]), insync_repos.retained(root)
            published = insync_bucket.sweep(store, retained, self._repos["retain"]["days"], test)
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
        # What a run has left that was killed.
        shutil.rmtree(incoming, ignore_errors=True)
        store = self._store(source.removeprefix("s3://").split("/")[0]) if source.startswith("s3://") else None
        self._say(f"fetch {version} from {source}")
        folder = insync_fetch.version(source, version, incoming, store)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _signer(self):
        return insync_gpg.opened(self._keys["sign"])

    def _store(self, bucket):
        told = self._repos["store"]
        return insync_store.Store(
            bucket,
            self._keys["access"],
            self._keys["secret"],
            endpoint=told["endpoint"] or None,
            region=told["region"],
            ca=AUTHORITIES,
            single_writer=told["single_writer"],
        )

    def _memory(self, name):
        return self._home / name / "published.json"

    def _not_behind(self, version):
        for platform, current in insync_versions.Versions(self._told["declared"]).current().items():
            if version < insync_version.parse(current):
                raise insync_version.VersionError(
                    f"{version}: {platform} has {current}; a lower one is not released as a whole, see update_apt_repo"
                )

    def _live(self, name, version):
        """Whether customers are offered ``version``; what waits beside it would come out with it, unverified."""
        live = insync_publish.live(self._store(self._buckets[name]))
        offered = [{one for found in live[unit]["packages"].values() for one in found} for unit in live]
        waiting = {one for manifest in insync_repos.current(self._roots[name]).values() for one in manifest.versions()}
        if strange := sorted(waiting.difference(*offered, {version}), key=insync_version.parse):
            raise insync_manifest.RepositoryError(
                f"{name}: {', '.join(strange)} was added, and never published; sync_repos does that, or "
                f"rollback_repos leaving={strange[0]} takes it out"
            )
        return bool(offered) and all(version in versions for versions in offered)

    def _room(self, size):
        """Each build is kept once as it came, once as it is signed, and once while it is checked."""
        free = shutil.disk_usage(self._home).free
        if free < 3 * size:
            raise insync_manifest.RepositoryError(f"{self._home}: {free} bytes are free, {3 * size} are needed")

    def _named(self, names):
        strange = [name for name in names if name not in self._roots]
        if strange:
            raise insync_manifest.RepositoryError(f"{strange[0]}: no repository; there is {', '.join(self._roots)}")
        return tuple(dict.fromkeys(names)) or tuple(self._roots)

    def _asked_by_clients(self, root, manifests):
        if not manifests:
            return
        key = next(entry for one in manifests.values() for path, entry in one.legacy.items() if path.endswith(".asc"))
        with tempfile.TemporaryDirectory(prefix="insync-verify-") as work:
            folder = pathlib.Path(work)
            shutil.copy(root.path(key["sha256"]), folder / "insync.asc")
            client = insync_repos.CHECKS[root.name]
            client(root, list(manifests.values()), root.settings["url"], folder / "insync.asc", folder / "client")

    def _selected(self, names, serial, leaving):
        """Return {repository: the units that are meant}."""
        current = {name: insync_repos.current(root) for name, root in self._roots.items()}
        units = [unit for found in current.values() for unit in found]
        for name in names:
            if name not in (*units, *self._roots):
                raise insync_manifest.RepositoryError(f"{name}: no suite; there is {', '.join(units) or 'nothing yet'}")
        if serial is not None and (len(names) != 1 or names[0] not in units or leaving is not None):
            raise insync_manifest.RepositoryError("serial: name the one suite whose serial it is, such as ubuntu/noble")
        if serial is not None and type(serial) is not int:
            raise insync_manifest.RepositoryError(f"serial={serial}: is no number of a serial")
        chosen = {
            name: [unit for unit in found if not names or unit in names or name in names]
            for name, found in current.items()
        }
        return {name: found for name, found in chosen.items() if found}


def _summary(units):
    """What is told of ``units`` (dict), as insync_repos returns it: in most cases all get the same files."""
    changes = {
        unit: {"old": made["former"], "new": made["serial"], **({"like": made["like"]} if "like" in made else {})}
        for unit, made in units.items()
    }
    files = {name: sorted({file for made in units.values() for file in made[name]}) for name in ("added", "dropped")}
    return {"changes": changes, **{name: found for name, found in files.items() if found}}


def _newest(manifest):
    return max(manifest.versions(), key=insync_version.parse, default=None)


def _of_serial(root, current, live):
    """The manifest that is live, if it is one of ours; customers see that, and not yet what is current here."""
    serial = live["serial"] if live else current.serial
    return next((one for one in insync_repos.manifests(root, current.unit) if one.serial == serial), current)


def _told(manifest, live):
    return {
        "serial": manifest.serial,
        "version": _newest(manifest),
        "since": datetime.datetime.fromtimestamp(manifest.date, datetime.UTC).isoformat(),
        "by": manifest.by,
        "published": live["serial"] if live else None,
    }
