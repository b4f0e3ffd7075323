"""How the master makes a server its minion: over ssh, with keys compared by fingerprint."""

import io
import pathlib
import re
import subprocess
import tarfile
import tempfile
import threading
import time

import insync_bootstrap
import insync_extmods
import insync_inventory
import insync_lock
import insync_release
import salt.key
import salt.utils.crypt
from salt.exceptions import CommandExecutionError

HOME = pathlib.Path("/etc/salt/bootstrap")
WORK = "/root/insync-bootstrap"
SECONDS = 300
LOCK = "/run/salt/master/bootstrap.lock"
# Salt changes the umask of the whole process to store a key: a file that another thread makes then nobody can open.
_STORING = threading.Lock()


class Enrolment:
    """Makes servers minions of this master; ``names`` (list of str) are those."""

    def __init__(self, opts, checkout, names):
        self.opts = opts
        self.checkout = pathlib.Path(checkout)
        self.inventory = insync_inventory.load(self.checkout / "pillar" / "inventory")
        self.release = insync_release.salt_id(self.checkout)
        self.finger = salt.utils.crypt.pem_finger(f"{opts['pki_dir']}/master.pub")
        # Not while servers are let in side by side, and keys are stored: nobody could enter the folder.
        self.payloads = {name: self._packed(name) for name in names}

    def server(self, name):
        """
        Make the server ``name`` a minion; return the seconds that it took.

        Raises CommandExecutionError that says at which step it failed and what to do.
        """
        started = time.monotonic()
        address = self.reach(name)
        there = self._ssh(address, f"test -e /opt/salt-{self.release}/.complete", check=False) == 0
        self._ssh(address, f"rm -rf {WORK} && mkdir -m 0700 {WORK} && tar -xC {WORK}", stdin=self._payload(name, there))
        wheelhouse = "" if there else f" --wheelhouse {WORK}/salt-{self.release}.tar"
        command = f"{WORK}/minion --finger {self.finger}{wheelhouse} && rm -rf {WORK}"
        fingerprint = self._ssh(address, command, output=True).split()[-1]
        accept(self.opts, name, fingerprint)
        return time.monotonic() - started

    def reach(self, name, seconds=60):
        """
        Enter the server ``name`` (str) by ssh, and return its address (str).

        seconds (float): for how long it is tried: a droplet that was made a moment ago may not take connections yet.
        Raises CommandExecutionError that says why nobody gets in, and what to do.
        """
        address = self.inventory["hosts"][name]["private"]
        _host_key(name, address)
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._ssh(address, "true")
                return address
            except CommandExecutionError as exc:
                if not re.search("timed out|refused|No route", str(exc)) or time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def _packed(self, name):
        archive = io.BytesIO()
        with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=archive, mode="w") as tar:
            insync_bootstrap.payload(self.checkout, name, self.opts["pki_dir"], folder)
            tar.add(folder, arcname=".")
        return archive.getvalue()

    def _payload(self, name, there):
        if there:
            return self.payloads[name]
        archive, wheelhouse = io.BytesIO(self.payloads[name]), f"salt-{self.release}.tar"
        with tarfile.open(fileobj=archive, mode="a") as tar:
            tar.add(self.checkout / "salt/salt_release/files" / wheelhouse, arcname=wheelhouse)
        return archive.getvalue()

    def _ssh(self, address, command, stdin=b"", check=True, output=False):
        try:
            done = subprocess.run(
                [*_SSH, f"root@{address}", command], input=stdin, capture_output=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired as exc:
            raise CommandExecutionError(f"ssh root@{address}: no end after {SECONDS} s") from exc
        if check and done.returncode != 0 or done.returncode == 255:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise CommandExecutionError(f"ssh root@{address}: {said[-1] if said else f'exit code {done.returncode}'}")
        return done.stdout.decode() if output else done.returncode


_SSH = (
    *("ssh", "-i", str(HOME / "id_ed25519"), "-o", "BatchMode=yes", "-o", "ConnectTimeout=15"),
    *("-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={HOME / 'known_hosts'}"),
)


def alone(verb, by, wait=0):
    """
    Return a context manager that lets nobody else make minions.

    verb, by (str): what, and who, as they are told to who is refused. wait (float): for how many seconds to wait.
    It raises insync_lock.Held if somebody else is at it then.
    """
    return insync_lock.held(LOCK, verb, by, wait)


def forget(opts, name):
    """Delete the key of the minion ``name`` (str) that the master has accepted; opts (dict): its configuration."""
    with salt.key.get_key(opts) as keys:
        keys.delete_key(match=name)


def accept(opts, name, fingerprint, seconds=60):
    """
    Accept the key of ``name`` if it has ``fingerprint``; wait up to ``seconds`` for it to arrive.

    opts (dict): the master's configuration.
    Raises CommandExecutionError if none arrives, or one with another fingerprint.
    """
    deadline = time.monotonic() + seconds
    with salt.key.get_key(opts) as keys:
        while True:
            status, found = _find(opts["pki_dir"], name)
            if found == fingerprint and status == "minions":
                return
            if found == fingerprint:
                with _STORING:
                    keys.accept(match=name)
                return
            if status == "minions":
                raise CommandExecutionError(
                    f"another key of {name} is accepted ({found}); 'salt-key -d {name}' first if it was rebuilt"
                )
            if status and time.monotonic() > deadline:
                raise CommandExecutionError(f"the key that waits as {name} is {found}, not {fingerprint}: not accepted")
            if time.monotonic() > deadline:
                raise CommandExecutionError(
                    f"no key of {name} came within {seconds} s; see 'journalctl -u salt-minion' there"
                )
            time.sleep(1)


def answering(client, opts, names):
    """
    Return the set of those of ``names`` that are accepted and answer now.

    client (salt.client.LocalClient): the connection to the master.
    opts (dict): the master's configuration.
    """
    accepted = [name for name in names if pathlib.Path(opts["pki_dir"], "minions", name).exists()]
    if not accepted:
        return set()
    answers = client.cmd(accepted, "test.ping", tgt_type="list", timeout=5, gather_job_timeout=5)
    return {name for name, answer in answers.items() if answer is True}


def ready(client, opts, names, seconds=90):
    """Wait up to ``seconds`` until the minions ``names`` answer; return the set of those that do."""
    deadline = time.monotonic() + seconds
    there = answering(client, opts, names)
    while len(there) < len(names) and time.monotonic() < deadline:
        there |= answering(client, opts, [name for name in names if name not in there])
    return there


def sync(client, checkout, names, attempts=3):
    """
    Give the minions ``names`` the modules, states and utils of the deployed ``checkout``; return {name: [what is new]}.

    Only a minion that lacks something is told to look, and only for that: Salt asks the master for each file, which
    takes 100 ms of a minion's CPU. Not saltutil.sync_all: it looks for twenty more kinds that we do not have.
    Raises CommandExecutionError that names who is not in step after so many ``attempts`` (int), and what they said.
    """
    wanted = insync_extmods.digests(pathlib.Path(checkout), "_{kind}")
    new, left = {name: [] for name in names}, list(names)
    for _ in range(attempts):
        # What was said in an earlier attempt explains nothing any more.
        said = {}
        lacks = _lacks(client, left, wanted, said)
        left = list(lacks)
        for kind in wanted:
            function, asked = f"saltutil.sync_{kind}", [name for name in left if kind in lacks[name]]
            for name, answer in _answers(client, asked, function).items():
                if isinstance(answer, list):
                    new[name] += answer
                else:
                    said[name] = f"{function}: {answer or 'no answer'}"
    failed = _lacks(client, left, wanted, said)
    if failed:
        told = "\n".join(f"{name}: {said.get(name) or _told(kinds)}" for name, kinds in failed.items())
        raise CommandExecutionError(f"{told}\nThe others are in step with the checkout.")
    return new


def _lacks(client, names, wanted, said):
    """{name: kinds that it has otherwise than ``wanted``}; of who does not answer, which ``said`` then tells, none."""
    lacks = {}
    for name, answer in _answers(client, names, "insync_extmods.digests").items():
        if answer is None:
            said[name], lacks[name] = "insync_extmods.digests: no answer", []
            continue
        # A minion that has not got this very module yet answers with a str.
        found = answer if isinstance(answer, dict) else {}
        if kinds := [kind for kind in wanted if found.get(kind) != wanted[kind]]:
            lacks[name] = kinds
    return lacks


def _told(kinds):
    return f"has other {', '.join(kinds)} than the checkout; see 'journalctl -u salt-minion' there"


def _answers(client, names, function):
    """{name: answer, or None}: what a minion says to a master that restarts is lost."""
    return dict.fromkeys(names) | (client.cmd(names, function, tgt_type="list", timeout=60) if names else {})


def _find(pki, name):
    # From the file: on 3008.3 'salt-key -f' hashes the lines BEGIN and END too, and agrees with no minion's key.finger.
    for status in ("minions", "minions_pre"):
        found = salt.utils.crypt.pem_finger(f"{pki}/{status}/{name}")
        if found:
            return status, found
    return None, None


def _host_key(name, address):
    known = HOME / "known_hosts"
    lines = known.read_text(encoding="utf-8").splitlines() if known.exists() else []
    if not any(line.split(" ")[0] == address for line in lines):
        raise CommandExecutionError(
            f"no ssh host key of {address} in {known}; add the line '{address} ssh-ed25519 ...' from {name}'s console"
        )
