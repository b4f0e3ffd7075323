"""What sets, shows and takes back the version of Insync that clients are told, for each platform."""

import insync_conf
import insync_declared_conf
import insync_inventory
import insync_jt
import insync_published
import insync_verb
import insync_version
import insync_versions


class CurrentVersions:
    """The current versions that this server declares, and tells clients through the conf server."""

    def __init__(self, pillar, site, by):
        """
        pillar (dict): current_versions, and what insync_declared_conf.DeclaredConf takes.
        site (str): the public name at which clients ask. by (str): who is at it.
        Raises insync_version.VersionError on a server that declares none.
        """
        if "current_versions" not in pillar:
            raise insync_version.VersionError("this server declares no current versions")
        declared = pillar["current_versions"]
        self._pillar, self._by, self._namespace = pillar, by, declared["namespace"]
        self._downloads, self._url = declared["downloads"], f"https://{site}" + declared["told_at"]
        self._versions = insync_versions.Versions(declared["declared"])

    def set(self, run, platform, version, backport=False, test=False):
        """
        Let ``version`` be current on ``platform`` (both str); return platform -> {"old", "new"} if that changes, and
        clients_see, what clients are told then (dict).

        run (tuple): as insync_verb.run yields it for insync_versions.AREA. backport (bool): it may be a lower one.
        test (bool): only check.
        Raises insync_version.VersionError, insync_conf.ConfError, insync_jt.JtError, insync_lock.Held: the former one
        is current then.
        """
        old = self._holding(platform)["version"]
        if insync_version.parse(version) < insync_version.parse(old) and not backport:
            raise insync_version.VersionError(
                f"{platform}: {version} is lower than the current {old}; insync.rollback_version goes back to a former"
                " one, backport=True takes any"
            )
        return self._change(run, platform, version, insync_versions.SET, test)

    def roll_back(self, run, platform, version=None, test=False, leaving=None):
        """
        Let ``version`` (str), which was current before, be it again; None stands for the last one before the current.

        leaving (str): only if this is the current one, and another was before.
        run, platform, test, and what is returned and raised: as for ``set``.
        """
        current = self._holding(platform)["version"]
        former = self._versions.former(platform)
        if leaving and (leaving != current or not former):
            return {}
        if not (version or former):
            raise insync_version.VersionError(f"{platform}: nothing was current before {current}")
        if version and version not in (current, *former):
            before = f"; before {current} were {', '.join(former)}" if former else ""
            raise insync_version.VersionError(f"{platform}: {version} was not current before{before}")
        return self._change(run, platform, version or former[-1], insync_versions.ROLLBACK, test)

    def table(self):
        """
        Return platform -> dict: version, declared, since, by (str), download (its URL), clients_see (what they are
        told, or why nothing) and seen (bool: whether that is the version).
        """
        told, why = insync_published.told(self._url)
        return {
            platform: {
                **one,
                "download": self._download(platform, one["version"]),
                "clients_see": told.get(platform) or why or "nothing",
                "seen": told.get(platform) == one["version"],
            }
            for platform, one in self._versions.holding().items()
        }

    def _change(self, run, platform, version, how, test):
        journal, done = run
        with journal.phase("download"):
            insync_published.downloadable(self._download(platform, version))
        with insync_verb.alone("conf", journal.record["verb"], self._by, insync_verb.PATIENCE):
            old, before = self._holding(platform), self._versions.recorded()
            changes = {} if version == old["version"] else {platform: {"old": old["version"], "new": version}}
            if test:
                self._load({platform: version}, test=True)
                return {**changes, "clients_see": insync_published.told(self._url)[0]}
            try:
                if changes or old["since"] is None:
                    self._versions.record(platform, version, self._by)
                with journal.phase("conf"):
                    self._load()
                with journal.phase("clients"):
                    seen = insync_published.wait(self._url, platform, version)
            except (insync_version.VersionError, insync_conf.ConfError, insync_jt.JtError) as exc:
                raise insync_version.VersionError(f"{exc}; {self._put_back(before, old['version'])}") from exc
        done |= insync_versions.change(platform, old["version"], version, how) if changes else {}
        return {**changes, "clients_see": seen}

    def _put_back(self, before, version):
        self._versions.write(before)
        try:
            self._load()
        except (insync_conf.ConfError, insync_jt.JtError):
            return f"{version} is put back, but the conf server may not have it; 'insync.conf_load' tells it"
        return f"{version} is put back, nothing changed"

    def _load(self, versions=(), test=False):
        current = {**self._versions.current(), **dict(versions)}
        insync_declared_conf.DeclaredConf(self._pillar, current).load(self._namespace, test=test)

    def _holding(self, platform):
        known = self._versions.holding()
        if platform not in known:
            hint = insync_inventory.hint(platform, known)
            raise insync_version.VersionError(f"{platform}: no platform; there is {', '.join(known)}{hint}")
        return known[platform]

    def _download(self, platform, version):
        return insync_published.download(self._downloads, platform, version)
