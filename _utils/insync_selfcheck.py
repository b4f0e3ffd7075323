"""Whether apt and dnf themselves, as clients run them, take what we built and see the packages that we mean."""

import insync_manifest
import insync_tool

# Nothing of this server's own apt: neither its configuration, nor its sources, keys or lists.
APT = """
Dir::State "{folder}/state"; Dir::Cache "{folder}/cache"; Dir::State::status "{folder}/status";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::main "/dev/null"; Dir::Etc::parts "/dev/null"; Dir::Etc::sourceparts "/dev/null";
Dir::Etc::trusted "/dev/null"; Dir::Etc::trustedparts "/dev/null";
APT::Architecture "{architecture}"; APT::Architectures {{ {architectures} }}; APT::Sandbox::User "root";
APT::Update::Error-Mode "any"; Acquire::Languages "none";
"""
DNF = """[main]
reposdir={folder}/none
varsdir={folder}/none
cachedir={folder}/cache
persistdir={folder}/persist
logdir={folder}/log
"""
DNF_REPOSITORY = """
[{name}]
name={name}
{source}
enabled=1
gpgcheck=1
repo_gpgcheck=1
gpgkey=file://{key}
skip_if_unavailable=0
"""


def apt(root, manifests, where, key, folder):
    """
    Let apt update from each suite of ``manifests`` (list of Manifest) and compare the packages that it offers.

    root (insync_root.Root). where (str): the URL below which their keys are, file:// or what customers have.
    key (pathlib.Path): the public key. folder (pathlib.Path): to be made, private.
    Raises insync_manifest.RepositoryError saying what it refuses.
    """
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    architectures = root.architectures
    listed = " ".join(f'"{architecture}";' for architecture in architectures)
    config = APT.format(folder=folder, architecture=architectures[0], architectures=listed)
    (folder / "apt.conf").write_text(config)
    sources = {}
    for manifest in manifests:
        family, _, codename = manifest.unit.partition("/")
        # As apt itself writes it.
        sources[f"{where.replace('file://', 'file:')}/{family} {codename}"] = manifest
    components = " ".join(root.settings["components"])
    lines = [f"deb [signed-by={key}] {source} {components}\n" for source in sources]
    (folder / "sources.list").write_text("".join(lines))
    environment = {"APT_CONFIG": str(folder / "apt.conf")}
    insync_tool.run(["apt-get", "update"], "apt refuses the new index", **environment)
    names = sorted({name for manifest in manifests for name in manifest.packages})
    found = {manifest.unit: set() for manifest in manifests}
    # Of no names it would complain.
    rows = insync_tool.run(["apt-cache", "madison", *names], **environment) if names else b""
    for row in rows.decode().splitlines():
        name, version, source = (part.strip() for part in row.split("|"))
        unit = next(m.unit for start, m in sources.items() if source.startswith(f"{start}/"))
        found[unit].add((name, version))
    _compare("apt", manifests, found)


def yum(root, manifests, where, key, folder):
    """
    Let dnf read each release of ``manifests``, at both of its places, and compare; else like ``apt``.

    root, manifests, where, key, folder: as there. What is published is found by its mirrorlist too.
    """
    # Releases with the same packages have the same files, byte by byte: dnf takes half a second for each.
    same = {frozenset(entry["sha256"] for entry in {**m.immutable, **m.pair}.values()): m for m in manifests}
    manifests, places, config = list(same.values()), {}, [DNF.format(folder=folder)]
    for number, manifest in enumerate(manifests):
        unit = f"{where}/{manifest.unit}"
        snapshot = f"baseurl={unit}/snapshots/{manifest.serial}"
        both = {"": f"baseurl={unit}", "s": snapshot if where.startswith("file:") else f"mirrorlist={unit}/mirrorlist"}
        for suffix, source in both.items():
            places[f"r{number}{suffix}"] = (manifest.unit, suffix)
            config.append(DNF_REPOSITORY.format(name=f"r{number}{suffix}", source=source, key=key))
    (folder / "log").mkdir(parents=True)
    (folder / "dnf.conf").write_text("".join(config))
    command = ["dnf", "--quiet", "--assumeyes", "--noplugins", "--config", folder / "dnf.conf", "--releasever=1"]
    command += [f"--installroot={folder}/root", "repoquery", "--queryformat", "%{repoid} %{name} %{version}"]
    rows = insync_tool.run(command, "dnf refuses the new index").decode().splitlines()
    found = {place: set() for place in places.values()}
    for row in rows:
        place, name, version = row.split(" ")
        found[places[place]].add((name, version))
    for suffix in ("", "s"):
        _compare("dnf", manifests, {m.unit: found[m.unit, suffix] for m in manifests})


def _compare(client, manifests, found):
    for manifest in manifests:
        meant = {(name, version) for name, versions in manifest.packages.items() for version in versions}
        if different := sorted(meant ^ found[manifest.unit]):
            what = ", ".join(" ".join(each) for each in different[:5])
            raise insync_manifest.RepositoryError(f"{manifest.unit}: {client} and the manifest differ: {what}")
