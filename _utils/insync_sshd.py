"""
sshd on this server as an operator meets it, without any operator's private key.

Who logs in with a key first only asks whether the server would take it. That question needs the public key alone, and
sshd answers it after all that it decides by itself: port, algorithms, AllowGroups, Match, the account, the file with
the keys and its modes.
"""

import pathlib
import subprocess
import tempfile
import time

COMMAND = "/usr/local/sbin/insync-sshd-change"
TIMER = "insync-sshd-rollback.timer"
FOLDER = pathlib.Path("/var/lib/insync/sshd")
# A reload closes the port for a moment.
PATIENCE = 5
_ACCEPTED = "Server accepts key:"
_OPTIONS = {
    "BatchMode": "yes",
    "IdentitiesOnly": "yes",
    "IdentityAgent": "none",
    "PreferredAuthentications": "publickey",
    "ConnectTimeout": "5",
    # The server is this machine itself.
    "StrictHostKeyChecking": "no",
    "UserKnownHostsFile": "/dev/null",
}


class SshdError(ValueError):
    """There is nothing to confirm, or it does not go; the message says why."""


def pending(folder=FOLDER):
    """Return whether a change waits to be confirmed (bool); folder (pathlib.Path): where it is noted."""
    return (folder / "kept.tar").exists()


def taken_back(folder=FOLDER):
    """Return whether the last change was taken back (bool); folder (pathlib.Path): as for ``pending``."""
    return (folder / "taken-back").exists()


def remove(path, command=COMMAND):
    """
    Remove a file of sshd's settings, as a change that waits to be confirmed.

    path (pathlib.Path): below /etc/ssh. command (str): what keeps it until then.
    Raises SshdError if that refuses, with the file in its place.
    """
    # Nothing takes its place.
    done = subprocess.run([command, "begin", str(path), "/dev/null"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SshdError(done.stderr.strip() or f"{command} begin ended with {done.returncode}")
    path.unlink()


def confirm(command=COMMAND):
    """Keep the change that waits; raises SshdError if there is none. command (str): what does it."""
    done = subprocess.run([command, "confirm"], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise SshdError(done.stderr.strip() or f"{command} confirm ended with {done.returncode}")


def refused(address, port, operators, patience=PATIENCE):
    """
    Return ``{operator: why}`` of those whom sshd would not let in with any of their keys; {} if all may enter.

    address (str), port (int): where it listens. operators (dict): name -> public keys (list of str).
    patience (float): for how many seconds a port that does not answer is tried again.
    """
    deadline = time.monotonic() + patience
    while True:
        found = {name: _why(address, port, name, keys) for name, keys in operators.items()}
        found = {name: why for name, why in found.items() if why}
        if not found or time.monotonic() > deadline or not any("port" in why for why in found.values()):
            return found
        time.sleep(0.3)


def _why(address, port, user, keys):
    """Why sshd takes none of the ``keys`` of ``user``; "" if it takes one."""
    said = ""
    for key in keys:
        said = _offer(address, port, user, key)
        if _ACCEPTED in said:
            return ""
    lines = [line for line in said.splitlines() if not line.startswith("debug1:")]
    return lines[-1] if lines else "no answer"


def _offer(address, port, user, key):
    """What ssh says while it offers ``key``."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "key.pub")
        file.write_text(f"{key}\n", encoding="utf-8")
        options = [f"-o{name}={value}" for name, value in _OPTIONS.items()]
        command = ["ssh", "-v", "-F", "none", *options, "-i", str(file), "-p", str(port), "-l", user, address, "true"]
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "errors": "replace"}
        try:
            return subprocess.run(command, timeout=20, check=False, **options).stderr
        except subprocess.TimeoutExpired:
            return "no end after 20 s"
