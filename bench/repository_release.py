"""Releases to the store, and back: prepared once, and in each round everybody does it in turn."""

from bench import repository_ours
from bench import repository_peers as peers
from bench.repository_builds import names
from bench.repository_ground import debs


class One:
    """One package into one suite of 100, to the store."""

    def __init__(self, ground):
        self.ground, packages = ground, names(10 if ground.small else 100)
        first, suite = ground.build("one", "apt", "1.0", packages), {"ubuntu": ["noble"]}
        self.aptly = {who: ground.aptly(f"one_{who}") for who in ("aptly", "plain")}
        self.aptly["plain"].lean = False
        for aptly in self.aptly.values():
            aptly("repo", "create", "one")
            aptly("repo", "add", "one", *debs(first))
            aptly.first("repo", "one", "ubuntu", "noble")
        self.out, self.bucket = ground.folder / "one_out", ground.bucket("one_aws")
        self.reprepro = peers.Reprepro(ground.folder / "one_reprepro", self.out / "ubuntu", ground.key, ["noble"])
        self.reprepro.include("noble", debs(first))
        ground.aws.sync(self.out, self.bucket)
        self.site = ground.site("one", {"apt": suite}, packages)
        repository_ours.take(self.site, [("add", "apt", "1.0", str(first)), ("publish", "apt")])
        self.site["declared"]["apt"]["packages"] = names(1)

    def round(self, number):
        """Return {task: {who: figures}}."""
        ground, new = self.ground, self._new(f"1.{number}")

        def aptly(who):
            self.aptly[who]("repo", "add", "one", new)
            self.aptly[who].update("ubuntu", "noble")

        def reprepro():
            self.reprepro.include("noble", [new])
            ground.aws.sync(self.out, self.bucket)

        found = {who: ground.measured(f"one package: {who}", lambda who=who: aptly(who)) for who in self.aptly}
        found |= {"reprepro": ground.measured("one package: reprepro", reprepro)}
        return {"one": found | ground.both("one package", self.site, lambda cold: self._steps(f"1.{number}{cold}"))}

    def _new(self, version):
        return debs(self.ground.build("one", "apt", version, names(1)))[0]

    def _steps(self, version):
        folder = self.ground.folder / "builds" / "one" / "apt" / version
        if not folder.exists():
            self._new(version)
        return [("add", "apt", version, str(folder)), ("publish", "apt")]


class Full:
    """A release of five packages to all suites and releases, and back."""

    def __init__(self, ground):
        self.ground, packages = ground, names(10 if ground.small else 100)
        self.first = {kind: ground.build("full", kind, "1.0", packages) for kind in ("apt", "yum")}
        self.suites = [(family, name) for family, codenames in ground.suites.items() for name in codenames]
        self._prepare_aptly()
        self._prepare_trees()
        self.site = ground.site("full", {"apt": ground.suites, "yum": ground.releases}, packages)
        repository_ours.take(self.site, self._steps("1.0", self.first))
        for kind in self.first:
            self.site["declared"][kind]["packages"] = names(5)

    def _prepare_aptly(self):
        self.aptly, self.snapshot = self.ground.aptly("full_aptly"), "1.0"
        self.aptly("repo", "create", "all")
        self.aptly("repo", "add", "all", *debs(self.first["apt"]))
        self.aptly("snapshot", "create", "1.0", "from", "repo", "all")
        for family, codename in self.suites:
            self.aptly.first("snapshot", "1.0", family, codename)

    def _prepare_trees(self):
        ground, self.out = self.ground, {kind: self.ground.folder / f"full_{kind}" for kind in ("apt", "yum")}
        self.reprepro = {
            family: peers.Reprepro(ground.folder / f"full_{family}", self.out["apt"] / family, ground.key, codenames)
            for family, codenames in ground.suites.items()
        }
        releases = [f"{family}/{release}" for family, names in ground.releases.items() for release in names]
        self.createrepo = peers.Createrepo(self.out["yum"], ground.key, releases)
        self.buckets = {kind: ground.bucket(f"full_aws_{kind}") for kind in self.out}
        self._to_trees("1.0", self.first)

    def _to_trees(self, version, build):
        for family, codename in self.suites:
            self.reprepro[family].include(codename, debs(build["apt"]))
        self.createrepo.add(debs(build["yum"]), self.ground.folder / f"full_sign-{version}")
        for kind, bucket in self.buckets.items():
            self.ground.aws.sync(self.out[kind], bucket)

    def _to_aptly(self, version, build):
        self.aptly("repo", "add", "all", *debs(build["apt"]))
        self.aptly("snapshot", "create", version, "from", "repo", "all")
        self._switch(version)

    def _switch(self, snapshot):
        for family, codename in self.suites:
            self.aptly.switch(family, codename, snapshot)

    def _steps(self, version, builds):
        added = [("add", kind, version, str(builds[kind])) for kind in builds]
        return added + [("publish", kind) for kind in builds]

    def round(self, number):
        """Return {task: {who: figures}}."""
        ground, version, before = self.ground, f"1.{number}", self.snapshot
        new, cold = self._new(version), self._new(f"{version}.1")
        found = {
            "aptly": ground.measured("release: aptly", lambda: self._to_aptly(version, new)),
            "trees": ground.measured("release: reprepro, createrepo_c", lambda: self._to_trees(version, new)),
        }
        self.snapshot = version
        ours = {kind: self._ours(f"release: ours, {kind}", self._steps(version, {kind: new[kind]})) for kind in new}
        back = {"aptly": ground.measured("back: aptly", lambda: self._switch(before))}
        back |= {kind: self._ours(f"back: ours, {kind}", [("roll_back", kind), ("publish", kind)]) for kind in new}
        steps = self._steps(f"{version}.1", cold)
        found["cold"] = ground.measured("release: ours, cold", lambda: repository_ours.take_cold(self.site, steps))
        found |= {"ours apt": ours["apt"], "ours": _sum(ours.values())}
        return {"full": found, "back": {**back, "ours": _sum([back["apt"], back["yum"]])}}

    def _ours(self, what, steps):
        return self.ground.measured(what, lambda: repository_ours.take(self.site, steps))

    def _new(self, version):
        return {kind: self.ground.build("full", kind, version, names(5)) for kind in ("apt", "yum")}


def _sum(figures):
    return {name: sum(each[name] for each in figures) for name in next(iter(figures))}
