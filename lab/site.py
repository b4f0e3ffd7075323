"""The lab's site folder: what differs between installations, with fake twins of the secrets and keys made here."""

import pathlib
import shutil

import insync_backup_keys
import insync_hg
import insync_inventory
import insync_releases
import insync_secrets
import insync_settings
import insync_tls
import yaml

from lab import age, cloud, pgp, s3, shell, standins
from lab.paths import LAB, ROOT
from lab.settings import digest

RECIPIENT = "Insync lab"
STAMP = ".made-from"
# Who can read backups of the database: operators, with a key that is on no server, and who verifies them.
AGE = ("ops", "verify")


def write(directory, keys, required=ROOT / "pillar" / "secrets" / "required.yaml"):
    """
    Write a site folder; one that was made from the same inputs is left as it is.

    directory (str or pathlib.Path): the folder to fill.
    keys (str or pathlib.Path): where the private keys are, or are put: the operators', GPG's, the servers', and those
        that sign builds and repositories.
    required (pathlib.Path): which secrets there have to be.
    """
    directory, keys = pathlib.Path(directory), pathlib.Path(keys)
    lab, fakes, wanted = _yaml(LAB / "lab.yaml"), _yaml(LAB / "fake_secrets.yaml"), _yaml(required)
    operators = {name: {**entry, "keys": [_ssh_key(keys, name)]} for name, entry in lab["operators"].items()}
    builds, repositories = pgp.kept(keys, pgp.BUILDS), pgp.kept(keys, pgp.REPOSITORIES)
    fakes = _merged(fakes, {"repos": {"signing_key": repositories.secret}})
    fakes = _merged(fakes, {"db_verifier": {"age_key": age.kept(keys, "verify")[1]}})
    told = {
        "repos": {"repos": {"build_key": builds.public}},
        "mysql_replica": {"mariadb": {"backup": {"recipients": {who: age.kept(keys, who)[0] for who in AGE}}}},
    }
    settings = _merged(_merged(lab["settings"], cloud.pillar(lab)), told)
    inventory = insync_inventory.load(ROOT / "pillar" / "inventory")
    releases, secrets = _releases(inventory, lab), _secrets(inventory, fakes, wanted)
    repositories = _repositories(keys, lab["repositories"])
    # Of all servers: a role with data may move to any of them.
    backups = {host: s3.server_key(host) for host in inventory["hosts"]}
    gpg = _gpg_home(keys / "gpgkeys")
    try:
        stamp = digest(operators, repositories, settings, secrets, releases, backups, _certificates(keys))
        if (directory / STAMP).exists() and (directory / STAMP).read_text(encoding="utf-8") == stamp:
            return
        shutil.rmtree(directory / insync_secrets.FOLDER, ignore_errors=True)
        shutil.rmtree(directory / insync_releases.FOLDER, ignore_errors=True)
        shutil.rmtree(directory / insync_backup_keys.FOLDER, ignore_errors=True)
        (directory / insync_releases.FOLDER).mkdir(parents=True)
        _dump(directory / "operators.yaml", {"operators": operators})
        _dump(directory / insync_hg.FILE, {"repositories": repositories})
        _dump(directory / insync_settings.FILE, settings)
        for app, lock in releases.items():
            (directory / insync_releases.FOLDER / f"{app}.txt").write_text(lock, encoding="utf-8")
        for environment, roles in secrets.items():
            folder = directory / insync_secrets.folder(environment)
            folder.mkdir(exist_ok=True)
            for role, values in roles.items():
                _dump(folder / f"{role}.yaml", {key: _encrypt(gpg, value) for key, value in values.items()})
        (directory / insync_backup_keys.FOLDER).mkdir()
        for host, values in backups.items():
            encrypted = {key: _encrypt(gpg, value) for key, value in values.items()}
            _dump(directory / insync_backup_keys.FOLDER / f"{host}.yaml", encrypted)
        for name in ("gpgkeys", insync_tls.FOLDER):
            shutil.rmtree(directory / name, ignore_errors=True)
            shutil.copytree(keys / name, directory / name, ignore=shutil.ignore_patterns("S.*", "*.lock", ".#*"))
    finally:
        shell.run(["gpgconf", "--homedir", gpg, "--kill", "all"], check=False)
    (directory / STAMP).write_text(stamp, encoding="utf-8")


def _releases(inventory, lab):
    """{application: its first lock}, for each environment's applications."""
    found = {}
    for environment in insync_inventory.environments(inventory):
        version = lab["first_releases"].get(environment, lab["first_release"])
        for app in insync_releases.apps_of([str(ROOT / "pillar")], insync_inventory.roles_in(inventory, environment)):
            found[insync_inventory.application_name(environment, app)] = standins.lock(app, version)
    return found


def _secrets(inventory, fakes, wanted):
    """{environment: {role: {key: value}}}; no password of one environment opens anything in another."""
    found = {}
    for environment in insync_inventory.environments(inventory):
        roles = [role for role in wanted if role in insync_inventory.roles_in(inventory, environment)]
        found[environment] = {
            role: {key: _of_environment(key, str(value), environment) for key, value in fakes.get(role, {}).items()}
            for role in roles
        }
    return found


def _of_environment(key, value, environment):
    own = environment != insync_inventory.PRODUCTION and not key.endswith(("_hash", "_key"))
    return f"{value} of {environment}" if own else value


def _repositories(keys, declared):
    """What the Mercurial server offers, with the public half of each key."""

    def key(name, label, push):
        return {"key": _ssh_key(keys, f"hg-{name}-{label}"), "push": push}

    return {
        name: {**entry, "keys": {label: key(name, label, push) for label, push in entry["keys"].items()}}
        for name, entry in declared.items()
    }


def _certificates(keys):
    """Make them as an operator would, in a folder that outlives the site folder; return their texts."""
    insync_tls.ensure(insync_inventory.load(ROOT / "pillar" / "inventory"), keys)
    return [path.read_text(encoding="utf-8") for path in sorted((keys / insync_tls.FOLDER).glob("*.crt"))]


def _merged(one, other):
    both = {key: _merged(one[key], other[key]) for key in one if isinstance(one[key], dict) and key in other}
    return {**one, **other, **both}


def _ssh_key(keys, name):
    path = keys / name
    if not path.exists():
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        shell.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{name}@lab", "-f", str(path)])
    return path.with_suffix(".pub").read_text(encoding="utf-8").strip()


def _gpg_home(home):
    home.mkdir(mode=0o700, exist_ok=True)
    known = shell.run(["gpg", "--homedir", str(home), "--batch", "--list-secret-keys", RECIPIENT], check=False)
    if known.returncode:
        _gpg(str(home), "--passphrase", "", "--quick-generate-key", RECIPIENT, "future-default", "default", "never")
    return str(home)


def _encrypt(home, value):
    return _gpg(home, "--trust-model", "always", "--recipient", RECIPIENT, "--armor", "--encrypt", stdin=value)


def _gpg(home, *arguments, stdin=None):
    return shell.run(["gpg", "--homedir", home, "--batch", "--quiet", *arguments], stdin=stdin, what="gpg").stdout


def _yaml(path):
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, as a person would."""


def _block(dumper, text):
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)


def _dump(path, data):
    path.write_text(yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=1000), encoding="utf-8")
