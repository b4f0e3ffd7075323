"""The fleet's own certificates in the site folder, for the services that the servers offer each other with TLS."""

import datetime
import pathlib
import subprocess
import sys

import insync_ca
import insync_inventory
import insync_site

FOLDER = "tls"
AUTHORITY = "Insync fleet CA"
AUTHORITY_DAYS = 7300
DAYS = 825
# A certificate is renewed when it has fewer days left than RENEW; with fewer than WARN, nothing is deployed any more.
RENEW = 60
WARN = 30
REMEDY = "bootstrap/certificates"


def ensure(inventory, site, now=None):
    """
    Make what is missing in the site folder: the authority, and a certificate for each server with a TLS service.

    A certificate is made anew if it is not the authority's, has other names than the server, or expires soon.

    inventory (dict): as insync_inventory.load returns it.
    site (str or pathlib.Path): the site folder; the private keys are encrypted with the key in its ``gpgkeys``.
    now (datetime.datetime): the present if left out.
    Returns a list of (``ca`` or server, what was done, end of validity); what was done is "" if nothing was.
    Raises insync_site.SiteError.
    """
    folder, gpg, now = pathlib.Path(site, FOLDER), _Gpg(site), now or datetime.datetime.now(datetime.UTC)
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    done = [_ensure_authority(folder, gpg, now)]
    # Decrypted only if something is to be signed.
    authority = None
    for host in insync_inventory.hosts_with_tls(inventory):
        names, addresses = _names(inventory, host)
        reason = _why_not(folder, host, names, addresses, now)
        if reason:
            authority = authority or _authority(folder, gpg)
            _write(folder, gpg, host, _issue(authority, names, addresses, now))
        done.append((host, f"issued ({reason})" if reason else "", _facts(folder, host).not_after))
    return done


def of_host(roots, inventory, host):
    """
    Return the TLS pillar of ``host``: ``ca``; if it has a TLS service, ``certificate`` and ``key`` (encrypted) too.

    roots (list of str): the pillar roots; the site folder is the last one.
    Raises insync_site.SiteError naming the file that is missing, and what makes it.
    """
    folder = pathlib.Path(roots[-1], FOLDER)
    found = {"ca": _text(folder / "ca.crt")}
    if host in insync_inventory.hosts_with_tls(inventory):
        found["certificate"] = _text(folder / f"{host}.crt")
        found["key"] = _text(folder / f"{host}.key.asc")
    return found


def problems(inventory, site, now=None):
    """Return what is wrong with the certificates in the site folder, a line each; arguments as for ``ensure``."""
    folder, now = pathlib.Path(site, FOLDER), now or datetime.datetime.now(datetime.UTC)
    found = []
    for name in ["ca", *insync_inventory.hosts_with_tls(inventory)]:
        try:
            _text(folder / f"{name}.key.asc")
            facts = _facts(folder, name)
        except insync_site.SiteError as exc:
            found.append(str(exc))
            continue
        if _days_left(facts, now) < WARN:
            found.append(f"{FOLDER}/{name}.crt: expires on {facts.not_after:%Y-%m-%d}; {_remedy(folder, name)}")
    return found


def _ensure_authority(folder, gpg, now):
    there = [name for name in ("ca.crt", "ca.key.asc") if (folder / name).exists()]
    if not there:
        _write(folder, gpg, "ca", insync_ca.make_authority(AUTHORITY, AUTHORITY_DAYS, now))
    elif len(there) == 1:
        lost = ({"ca.crt", "ca.key.asc"} - set(there)).pop()
        raise insync_site.SiteError(
            f"{FOLDER}/{lost}: is missing, but {there[0]} is there; take it from your copy of the site folder"
        )
    return "ca", "" if there else "made", _facts(folder, "ca").not_after


def _why_not(folder, host, names, addresses, now):
    """Return why the server needs a new certificate, "" if it does not."""
    if not all((folder / f"{host}{suffix}").exists() for suffix in (".crt", ".key.asc")):
        return "missing"
    facts = _facts(folder, host)
    if not insync_ca.issued_by(_text(folder / f"{host}.crt"), _text(folder / "ca.crt")):
        return "another authority's"
    if (list(facts.names), list(facts.addresses)) != (sorted(names), sorted(addresses)):
        return "other names"
    return "expires soon" if _days_left(facts, now) < RENEW else ""


def _authority(folder, gpg):
    key = gpg(folder / "ca.key.asc", "--decrypt", stdin=_text(folder / "ca.key.asc"))
    return insync_ca.Pair(_text(folder / "ca.crt"), key)


def _issue(authority, names, addresses, now):
    try:
        return insync_ca.issue(authority, names, addresses, DAYS, now)
    except insync_ca.CaError as exc:
        raise insync_site.SiteError(f"{FOLDER}/ca.crt, ca.key.asc: {exc}") from exc


def _write(folder, gpg, name, pair):
    """The certificate last, and the old one gone before: a certificate that is there has its key beside it."""
    encrypted = gpg(folder / f"{name}.key.asc", *gpg.to_itself(), stdin=pair.key)
    certificate = folder / f"{name}.crt"
    certificate.unlink(missing_ok=True)
    for path, text in ((folder / f"{name}.key.asc", encrypted), (certificate, pair.certificate)):
        new = path.with_name(f"{path.name}.new")
        new.write_text(text, encoding="utf-8")
        new.replace(path)


def _names(inventory, host):
    domain = inventory["networks"]["private"]["domain"]
    return [f"{host}.{domain}", host], [inventory["hosts"][host]["private"]]


def _facts(folder, name):
    try:
        return insync_ca.read(_text(folder / f"{name}.crt"))
    except insync_ca.CaError as exc:
        remedy = f"remove it, then {_remedy(folder, name)}"
        raise insync_site.SiteError(f"{FOLDER}/{name}.crt: {exc}; {remedy}") from exc


def _text(path):
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        what = "no such file in the site folder" if isinstance(exc, FileNotFoundError) else f"cannot be read: {exc}"
        remedy = _remedy(path.parent, path.name.split(".")[0])
        raise insync_site.SiteError(f"{FOLDER}/{path.name}: {what} ({path.parent.parent}); {remedy}") from exc


def _remedy(folder, name):
    if name == "ca" and (folder / "ca.crt").exists():
        return "see docs/bootstrap.md: a new authority means new certificates everywhere"
    return f"'{REMEDY} {folder.parent}' makes it"


def _days_left(facts, now):
    return (facts.not_after - now) / datetime.timedelta(days=1)


class _Gpg:
    """GPG with the site folder's home."""

    def __init__(self, site):
        self.home = str(pathlib.Path(site, "gpgkeys"))

    def __call__(self, what, *arguments, stdin=None):
        command = ["gpg", "--homedir", self.home, "--batch", "--quiet", *arguments]
        try:
            done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise insync_site.SiteError(f"{what}: gpg: {exc}") from exc
        if done.returncode:
            said = done.stderr.strip().splitlines()[-1:] or ["failed"]
            raise insync_site.SiteError(f"{what}: {said[0]}")
        return done.stdout

    def to_itself(self):
        """Return the options that encrypt to the one secret key of this home."""
        if not pathlib.Path(self.home).is_dir():
            raise insync_site.SiteError(f"{self.home}: no such folder; docs/bootstrap.md tells how to make the key")
        lines = self(self.home, "--with-colons", "--list-secret-keys").splitlines()
        keys = [line.split(":")[4] for line in lines if line.startswith("sec:")]
        if len(keys) != 1:
            raise insync_site.SiteError(f"{self.home}: {len(keys)} secret keys, one is needed to encrypt with")
        return ["--trust-model", "always", "--recipient", keys[0], "--armor", "--encrypt"]


def main(checkout, site):
    """Ensure the certificates of the site folder and say what was done; return the exit code."""
    if not pathlib.Path(site).is_dir():
        raise insync_site.SiteError(f"{site}: no such folder; docs/bootstrap.md tells what the site folder holds")
    inventory = insync_inventory.load(pathlib.Path(checkout, "pillar", "inventory"))
    for name, what, until in ensure(inventory, site):
        print(f"{name}: {what or 'kept'}, valid until {until:%Y-%m-%d}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:3]))
    except (insync_site.SiteError, insync_inventory.InventoryError, OSError) as exc:
        sys.exit(f"{REMEDY}: {exc}")
