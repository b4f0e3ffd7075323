"""OpenPGP keys that the lab keeps as files: who signs builds, and who signs the repositories of packages."""

import contextlib
import dataclasses
import tempfile

from lab import shell

# Name to who is said to hold it.
BUILDS = "builds"
REPOSITORIES = "repositories"
HOLDERS = {
    BUILDS: "Insync lab builds <builds@insync.example>",
    REPOSITORIES: "Insync lab repositories <repositories@insync.example>",
}


@dataclasses.dataclass(frozen=True)
class Key:
    """A key without a passphrase, armored."""

    public: str
    secret: str


def kept(keys, name):
    """
    Return the Key ``name``, made once.

    keys (pathlib.Path): the folder of the lab's private keys.
    name (str): one of HOLDERS.
    """
    public, secret = keys / f"{name}.asc", keys / f"{name}.key"
    if not public.exists():
        key = _make(HOLDERS[name])
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        secret.touch(mode=0o600)
        secret.write_text(key.secret, encoding="ascii")
        public.write_text(key.public, encoding="ascii")
    return Key(public.read_text(encoding="ascii"), secret.read_text(encoding="ascii"))


def sign(key, data):
    """Return the armored detached signature (str) of ``data`` (bytes) by ``key`` (Key)."""
    with _home() as gpg:
        gpg("--import", stdin=key.secret.encode())
        return gpg("--armor", "--detach-sign", stdin=data).decode()


def _make(holder):
    with _home() as gpg:
        # RSA: the oldest clients of the repositories know nothing newer.
        gpg("--quick-generate-key", holder, "rsa3072", "sign", "never")
        return Key(gpg("--armor", "--export").decode(), gpg("--armor", "--export-secret-keys").decode())


@contextlib.contextmanager
def _home():
    """Give a function that runs gpg with a key ring of its own; its path is short, as gpg-agent's socket needs it."""
    with tempfile.TemporaryDirectory(prefix="lab-", dir="/tmp") as home:
        base = ["gpg", "--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]

        def gpg(*arguments, stdin=b""):
            return shell.run([*base, *arguments], stdin=stdin, what="gpg").stdout

        try:
            yield gpg
        finally:
            shell.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
