"""The key that signs the repositories."""

import concurrent.futures
import contextlib
import datetime
import os
import pathlib
import re
import shutil
import tempfile
import time

import insync_manifest
import insync_tool

WARN_DAYS = 30
# What the folders of keys in use are called, before the process that uses one.
HOMES = "insync-gpg-"


class Signer:
    """A secret key in a GNUPGHOME; gpg-agent holds it, no command line names more than its fingerprint."""

    def __init__(self, home, fingerprint):
        """
        home (str or pathlib.Path): the GNUPGHOME, short: the agent's socket is in it.

        fingerprint (str): of the key, all 40 digits.
        """
        self.home, self.fingerprint = home, fingerprint

    def check(self):
        """
        Return for how many days (int) the key is still good, None if for ever.

        Raises insync_manifest.RepositoryError if it is missing, expired, revoked, or needs a passphrase.
        """
        until = self._until()
        done = self._sign("--detach-sign", b"")
        if done.returncode:
            said = insync_tool.line(done.stderr)
            if re.search(r"pinentry|passphrase|cancel", said, re.IGNORECASE):
                said = "needs a passphrase; keep it without one in a folder that only root reads"
            raise self._error(said)
        return until and int((until - time.time()) // 86400)

    def warning(self, days):
        """Return the line (str) to say when the key is good for ``days`` (int or None) more; "" if there is time."""
        if days is None or days >= WARN_DAYS:
            return ""
        return f"signing key {self.fingerprint} expires in {days} days: extend it and publish it anew"

    def public(self):
        """Return the public key (bytes), armored. Raises insync_manifest.RepositoryError."""
        return self._gpg("--armor", "--export-options", "export-minimal", "--export", self.fingerprint)

    def detach(self, text):
        """Return the detached signature (bytes) of ``text`` (bytes). Raises insync_manifest.RepositoryError."""
        return self._signed("--detach-sign", text)

    def clearsign_and_detach(self, text):
        """Return ``text`` (bytes) with its signature in it, and its detached signature (bytes each)."""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return tuple(pool.map(self._signed, ("--clearsign", "--detach-sign"), (text, text)))

    def sign_rpms(self, paths):
        """Sign the packages ``paths`` (list of path) in place. Raises insync_manifest.RepositoryError."""
        macros = {
            "__gpg": "/usr/bin/gpg",
            "_gpg_name": self.fingerprint,
            "_gpg_sign_cmd_extra_args": "--batch --pinentry-mode error",
        }
        defines = [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]
        insync_tool.run(["rpmsign", *defines, "--addsign", *paths], GNUPGHOME=str(self.home))

    def _until(self):
        listed = insync_tool.attempt(self._command("--with-colons", "--list-secret-keys", self.fingerprint))
        keys = [row.split(":") for row in listed.stdout.decode().splitlines() if row.startswith(("sec:", "ssb:"))]
        if listed.returncode or not keys:
            raise self._error(f"is not in {self.home}; import it there, or declare the one that is")
        if keys[0][1] == "r":
            raise self._error("is revoked; declare another one")
        if keys[0][1] == "e":
            raise self._error(f"is expired since {_day(keys[0][6])}; extend it with gpg --quick-set-expire")
        ends = [int(key[6]) for key in keys if key[6] and key[1] not in "er" and "s" in key[11]]
        return min(ends, default=None)

    def _signed(self, how, text):
        done = self._sign(how, text)
        if done.returncode:
            raise self._error(insync_tool.line(done.stderr))
        return done.stdout

    def _sign(self, how, text):
        return insync_tool.attempt(self._command("--armor", "--local-user", self.fingerprint, how), text)

    def _gpg(self, *words):
        return insync_tool.run(self._command(*words))

    def _command(self, *words):
        return ["gpg", "--homedir", self.home, "--batch", "--quiet", "--no-tty", "--pinentry-mode", "error", *words]

    def _error(self, said):
        return insync_manifest.RepositoryError(f"signing key {self.fingerprint} {said}")


@contextlib.contextmanager
def opened(secret, place="/run"):
    """
    Yield the Signer of the one key in ``secret`` (str, armored) while the block runs, and leave nothing of it.

    place (str): a folder in memory, with a short name.
    Raises insync_manifest.RepositoryError if it is no such key.
    """
    _tidy(place)
    with tempfile.TemporaryDirectory(prefix=f"{HOMES}{os.getpid()}-", dir=place) as home:
        gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--no-tty"]
        try:
            insync_tool.run([*gpg, "--import"], "repos:signing_key", secret.encode())
            listed = insync_tool.run([*gpg, "--with-colons", "--list-secret-keys"]).decode().splitlines()
            fingerprints = [row.split(":")[9] for row in listed if row.startswith("fpr:")]
            if sum(row.startswith("sec:") for row in listed) != 1:
                raise insync_manifest.RepositoryError("repos:signing_key: is not one secret key")
            yield Signer(home, fingerprints[0])
        finally:
            _end(home)


def _tidy(place):
    """Remove what a run has left that was killed."""
    for home in pathlib.Path(place).glob(f"{HOMES}*"):
        if not pathlib.Path("/proc", home.name.removeprefix(HOMES).partition("-")[0]).exists():
            _end(home)
            shutil.rmtree(home, ignore_errors=True)


def _end(home):
    insync_tool.attempt(["gpgconf", "--homedir", home, "--kill", "all"])


def verify(public, signature, text, folder):
    """
    Check that ``signature`` (bytes) of ``text`` (bytes) is by the key ``public`` (str, armored).

    folder (pathlib.Path): a private one, for what gpgv reads.
    Raises insync_manifest.RepositoryError; its message is to be put behind the name of what is signed.
    """
    ring = ["gpg", "--homedir", folder, "--batch", "--quiet", "--no-tty", "--dearmor"]
    (folder / "ring.gpg").write_bytes(insync_tool.run(ring, "repos:build_key", public.encode()))
    (folder / "signature").write_bytes(signature)
    command = ["gpgv", "--homedir", folder, "--keyring", folder / "ring.gpg", "--status-fd", "1"]
    done = insync_tool.attempt([*command, folder / "signature", "-"], text)
    states = re.findall(rb"^\[GNUPG:\] (GOODSIG|BADSIG|EXPSIG|EXPKEYSIG|REVKEYSIG|ERRSIG)", done.stdout, re.MULTILINE)
    if done.returncode or states != [b"GOODSIG"]:
        # Of an expired key gpgv says that the signature is good, and succeeds.
        said = "which is expired or revoked" if b"KEYSIG" in b"".join(states) else insync_tool.line(done.stderr)
        raise insync_manifest.RepositoryError(f"is not signed by repos:build_key: {said or 'no signature'}")


def _day(seconds):
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).date().isoformat()
