"""TLS certificates of public names: self-signed so that a server starts, then issued by an ACME CA and renewed."""

import datetime
import os
import pathlib
import shutil
import urllib.parse

import insync_certificate
from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_certificate"

_CERTBOT = pathlib.Path("/etc/letsencrypt")
# Of its last run alone.
_LOG = pathlib.Path("/var/log/letsencrypt/letsencrypt.log")
# Where certbot orders by itself.
_DEFAULT = "https://acme-v02.api.letsencrypt.org/directory"
# The CA may let us wait, but not for ever.
_SECONDS = 300


def __virtual__():
    return __virtualname__


def self_signed(name, domains):
    """
    Make a self-signed certificate, with its key, if there is nothing yet: a server that serves it starts.

    name (str): path of the PEM file, for root only; its folder is there.
    domains (list of str): the DNS names in it.

    .. code-block:: yaml

        acme-self-signed:
          insync_certificate.self_signed:
            - name: /etc/insync/certificates/public.pem
            - domains: [www.insynchq.com]
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"{name} is there"}
    path = pathlib.Path(name)
    # An empty one is what a power cut may leave.
    if path.exists() and path.stat().st_size:
        return ret
    changes = {"certificate": {"old": None, "new": "self-signed"}}
    if __opts__["test"]:
        return {**ret, "changes": changes, "result": None, "comment": f"{name} would be made, self-signed"}
    try:
        _write(path, insync_certificate.self_signed(domains, _now()))
    except SaltException as exc:
        return {**ret, "result": False, "comment": str(exc)}
    return {**ret, "changes": changes, "comment": f"{name} is made, self-signed"}


def issued(name, domains, port=None, dns=None, directory="", email=""):
    """
    Have the certificate ``name`` issued by the CA, and installed by certbot's deploy hooks.

    The CA is asked only if the certificate is not from it, lacks a name, has one that left, would be renewed in another
    way, or has less than 30 days left, and less than a third of its time, which certbot's own timer should not let
    happen. One that is issued but not installed is installed.

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
    why = _why_order(lineage, domains, directory, way)
    changes = {"certificate": {"old": why, "new": "issued"}} if why else {}
    if why or not _installed(name, lineage):
        changes["installed"] = name
    if not changes:
        return ret
    if __opts__["test"]:
        comment = f"a certificate would be ordered: {why}" if why else f"the certificate would be installed as {name}"
        return {**ret, "changes": changes, "result": None, "comment": comment}
    try:
        if why:
            _order(lineage, domains, way, directory, email)
        _install(name, lineage, domains)
    except SaltException as exc:
        return {**ret, "result": False, "comment": f"no new certificate for {', '.join(domains)}: {exc}"}
    return {**ret, "changes": changes, "comment": f"{name} was ordered: {why}" if why else f"{name} was installed"}


def _why_order(lineage, domains, directory, way):
    why = insync_certificate.why_order(_read(lineage / "fullchain.pem"), domains, _now())
    renewal = _read(_CERTBOT / "renewal" / f"{lineage.name}.conf").decode()
    return why or insync_certificate.why_not_renewed(renewal, directory or _DEFAULT, way)


def _order(lineage, domains, way, directory, email):
    command = ["/usr/bin/certbot", "certonly", "--non-interactive", "--agree-tos", "--force-renewal"]
    command += ["--cert-name", lineage.name, "--renew-with-new-domains", "--key-type", "ecdsa"]
    command += [word for option, value in way.items() for word in (f"--{option}", value)]
    command += ["--email", email] if email else ["--register-unsafely-without-email"]
    command += ["--server", directory] if directory else []
    for domain in domains:
        command += ["--domain", domain]
    if not _ordered(command, directory) and not _ordered(command, directory):
        raise CommandExecutionError(f"{directory or 'the CA'}: it does not know the account that it has just made")


def _ordered(command, directory):
    """Whether certbot got what it asked for; not if the CA was set up anew: certbot then registers the next time."""
    result = _run(command)
    if result["retcode"] == 0:
        return True
    output = f"{result['stdout']}\n{result['stderr']}"
    log = _read(_LOG).decode(errors="replace") if "An unexpected error occurred" in output else ""
    if insync_certificate.refusal(log)[0] == "accountDoesNotExist":
        url = urllib.parse.urlsplit(directory or _DEFAULT)
        shutil.rmtree(_CERTBOT / "accounts" / url.netloc / url.path.lstrip("/"), ignore_errors=True)
        return False
    raise CommandExecutionError(f"{directory or 'the CA'}: {insync_certificate.reason(output, log)}")


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


def _write(path, pem):
    new = path.with_name(f"{path.name}.new")
    try:
        new.touch(mode=0o600)
        new.write_bytes(pem)
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
