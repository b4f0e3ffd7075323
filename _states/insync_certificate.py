"""TLS certificates of public names: self-signed so that a server starts, then issued by an ACME CA and renewed."""

import contextlib
import datetime
import os
import pathlib
import re
import shutil
import tempfile
import urllib.parse

import insync_certificate
from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_certificate"

_CERTBOT = pathlib.Path("/etc/letsencrypt")
# Debian's certbot appends to it: what former runs were told is in it, too.
_LOG = pathlib.Path("/var/log/letsencrypt/letsencrypt.log")
# Where certbot orders by itself.
_DEFAULT = "https://acme-v02.api.letsencrypt.org/directory"
# The CA may let us wait, but not for ever.
_SECONDS = 300


def __virtual__():
    return __virtualname__


def self_signed(name, domains):
    """
    Make a self-signed certificate, with its key, if there is none that a server can be started with.

    If certbot has one, this is put there instead.

    name (str): path of the PEM file, for root only, whose name without ``.pem`` certbot knows it by; in a folder that
        is there.
    domains (list of str): the DNS names in it.

    .. code-block:: yaml

        acme-self-signed:
          insync_certificate.self_signed:
            - name: /etc/insync/certificates/public.pem
            - domains: [www.insynchq.com]
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{name} is there"}
    path = pathlib.Path(name)
    # A power cut may leave an empty one.
    found = _read(path)
    if insync_certificate.complete(found):
        return ret
    lineage = _CERTBOT / "live" / path.stem
    # With its key first it does not count as installed: the hooks still have to tell a server that runs.
    pem = _read(lineage / "privkey.pem") + _read(lineage / "fullchain.pem")
    known = insync_certificate.complete(pem)
    source = "of certbot" if known else "self-signed"
    changes = {"certificate": {"old": "none with its key" if found else None, "new": source}}
    if __opts__["test"]:
        return {**ret, "changes": changes, "result": None, "comment": f"{name} would be made, {source}"}
    try:
        _write(path, pem if known else insync_certificate.self_signed(domains, _now()), 0o600)
    except SaltException as exc:
        return {**ret, "result": False, "comment": str(exc)}
    return {**ret, "changes": changes, "comment": f"{name} is made, {source}"}


def issued(name, domains, port=None, dns=None, directory="", email=""):
    """
    Have the certificate ``name`` issued by the CA, and installed by certbot's deploy hooks.

    The CA is asked only if the certificate is not from it, lacks a name, has one that left, would not be renewed or by
    another way, or has less than 30 days left, and less than a third of its time, which certbot's own timer should not
    let happen. With what else it would be renewed is changed without an order. One that is issued but not installed is
    installed.

    name (str): path of the PEM file, whose name without ``.pem`` certbot knows it by.
    domains (list of str): the DNS names.
    port (int): the port on loopback that the CA's question reaches through whatever serves port 80 (http-01).
    dns (dict): instead of it, and the only way for wildcards, how certbot puts a record into the names' zones (dns-01):
        provider (str: of a certbot plugin that is installed, such as rfc2136), credentials (str: path of the plugin's
        file) and propagation_seconds (int).
    directory (str): URL of the CA's directory; without it, certbot's own CA.
    email (str): where the CA writes to; without it, nowhere.

    .. code-block:: yaml

        acme-certificate:
          insync_certificate.issued:
            - name: /etc/insync/certificates/public.pem
            - domains: [www.insynchq.com]
            - port: 8402
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{name} is issued and in use"}
    if bool(port) is bool(dns):
        return {**ret, "result": False, "comment": "give one of port and dns"}
    lineage, way = _CERTBOT / "live" / pathlib.Path(name).stem, insync_certificate.way(port, dns)
    noted, server = _noted(lineage), directory or _DEFAULT
    renewal = noted if insync_certificate.noted(noted) else _renewal(lineage, server, way)
    why = _why_order(lineage, renewal, domains, server, way)
    changes = {"certificate": {"old": why, "new": "issued"}} if why else {}
    options = {} if why else insync_certificate.differences(noted, way)
    if options:
        changes["renewal"] = options
    if why or not _installed(name, lineage):
        changes["installed"] = name
    if not changes:
        return ret
    if __opts__["test"]:
        would = {
            "certificate": f"a certificate would be ordered: {why}",
            "renewal": "its renewal would be noted as it is declared",
            "installed": f"the certificate would be installed as {name}",
        }
        return {**ret, "changes": changes, "result": None, "comment": would[next(iter(changes))]}
    try:
        if why:
            _order(lineage, domains, way, directory, email)
        if options:
            _write(_note(lineage), insync_certificate.with_options(renewal, way).encode(), 0o644)
        if "installed" in changes:
            _install(name, lineage, domains)
    except (SaltException, OSError) as exc:
        return {**ret, "result": False, "comment": f"no new certificate for {', '.join(domains)}: {exc}"}
    done = {
        "certificate": f"{name} was ordered: {why}",
        "renewal": f"the renewal of {name} is noted as it is declared",
        "installed": f"{name} was installed",
    }
    return {**ret, "changes": changes, "comment": done[next(iter(changes))]}


def _renewal(lineage, server, way):
    """What to note for a renewal (str) where that is lost, "" if it does not seem to be the CA that has issued it."""
    accounts = [path.name for path in _accounts(server).glob("*")]
    archive = _CERTBOT / "archive" / lineage.name
    return insync_certificate.renewal(lineage, archive, accounts[0], server, way) if len(accounts) == 1 else ""


def _why_order(lineage, renewal, domains, server, way):
    why = insync_certificate.why_order(_read(lineage / "fullchain.pem"), domains, _now())
    return why or insync_certificate.why_not_renewed(renewal, server, way) or _why_broken(lineage, renewal)


def _why_broken(lineage, renewal):
    """Why certbot would not renew the lineage in its place (str), or ""; it then makes another, such as public-0001."""
    files = {kind: lineage / f"{kind}.pem" for kind in insync_certificate.KINDS}
    noted = insync_certificate.noted(renewal)
    if any(noted.get(kind) != str(path) for kind, path in files.items()):
        return "it is not noted how the current one would be renewed"
    if not all(path.is_symlink() and path.is_file() for path in files.values()):
        return "the current one lacks what certbot renews it by"
    complete = insync_certificate.complete(_read(files["fullchain"]) + _read(files["privkey"]))
    return "" if complete else "the current one lacks its key"


def _order(lineage, domains, way, directory, email):
    command = ["/usr/bin/certbot", "certonly", "--non-interactive", "--agree-tos", "--force-renewal"]
    command += ["--cert-name", lineage.name, "--renew-with-new-domains", "--key-type", "ecdsa"]
    command += [word for option, value in way.items() for word in (f"--{option}", value)]
    command += ["--email", email] if email else ["--register-unsafely-without-email"]
    command += ["--server", directory] if directory else []
    for domain in domains:
        command += ["--domain", domain]
    with _aside(lineage) if _why_broken(lineage, _noted(lineage)) else contextlib.nullcontext():
        if not _ordered(command, directory) and not _ordered(command, directory):
            raise CommandExecutionError(f"{directory or 'the CA'}: it does not know the account that it has just made")
        if why := _why_order(lineage, _noted(lineage), domains, directory or _DEFAULT, way):
            raise CommandExecutionError(f"certbot has ordered one, but {why}")


@contextlib.contextmanager
def _aside(lineage):
    """Move a broken lineage out of certbot's way while the block runs: for ever if that ends well, else until then."""
    folder = _CERTBOT / "aside"
    folder.mkdir(mode=0o700, exist_ok=True)
    place = pathlib.Path(tempfile.mkdtemp(prefix=f"{lineage.name}-", dir=folder))
    moved = {part: part.rename(place / f"{part.parent.name}-{part.name}") for part in _parts(lineage)}
    try:
        yield
    except BaseException:
        for part in _parts(lineage):
            _remove(part)
        for part, kept in moved.items():
            kept.rename(part)
        place.rmdir()
        raise
    # Also of runs that were killed.
    for place in folder.glob(f"{lineage.name}-*"):
        shutil.rmtree(place)


def _parts(lineage):
    """All that certbot has of the lineage, and of others that it made because that was broken."""
    ours = re.compile(rf"{re.escape(lineage.name)}(-\d{{4}})?(\.conf)?")
    found = (path for folder in ("live", "archive", "renewal") for path in (_CERTBOT / folder).glob("*"))
    return [path for path in found if ours.fullmatch(path.name)]


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _ordered(command, directory):
    """Whether certbot got what it asked for; not if the CA was set up anew: certbot then registers the next time."""
    before = len(_read(_LOG))
    result = _run([*command, "--max-log-backups", "0"])
    if result["retcode"] == 0:
        return True
    output = f"{result['stdout']}\n{result['stderr']}"
    log = _read(_LOG)[before:].decode(errors="replace") if "An unexpected error occurred" in output else ""
    if insync_certificate.refusal(log)[0] == "accountDoesNotExist":
        shutil.rmtree(_accounts(directory or _DEFAULT), ignore_errors=True)
        return False
    raise CommandExecutionError(f"{directory or 'the CA'}: {insync_certificate.reason(output, log)}")


def _accounts(server):
    url = urllib.parse.urlsplit(server)
    return _CERTBOT / "accounts" / url.netloc / url.path.lstrip("/")


def _install(name, lineage, domains):
    """Run certbot's deploy hooks, as its timer does after a renewal; it runs none after a first order."""
    told = {"RENEWED_LINEAGE": str(lineage), "RENEWED_DOMAINS": " ".join(domains)}
    for hook in sorted((_CERTBOT / "renewal-hooks" / "deploy").glob("*")):
        if os.access(hook, os.X_OK):
            result = _run([str(hook)], env=told)
            if result["retcode"] != 0:
                raise CommandExecutionError(f"{hook}: {(result['stderr'] or result['stdout']).strip()}")
    if not _installed(name, lineage):
        raise CommandExecutionError(f"no deploy hook has installed {name}")


def _installed(name, lineage):
    """Whether the PEM file begins with what certbot has got from the CA last."""
    chain = _read(lineage / "fullchain.pem")
    return bool(chain) and _read(pathlib.Path(name)).startswith(chain)


def _run(command, **options):
    return __salt__["cmd.run_all"](
        command, python_shell=False, ignore_retcode=True, timeout=_SECONDS, stdin="", **options
    )


def _note(lineage):
    """Where certbot has noted how it renews the lineage."""
    return _CERTBOT / "renewal" / f"{lineage.name}.conf"


def _noted(lineage):
    return _read(_note(lineage)).decode(errors="replace")


def _write(path, content, mode):
    new = path.with_name(f"{path.name}.new")
    try:
        new.touch(mode=mode)
        new.write_bytes(content)
        new.replace(path)
    except OSError as exc:
        raise CommandExecutionError(f"cannot write {path}: {exc.strerror}") from exc


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _now():
    return datetime.datetime.now(datetime.UTC)
