"""ct1 becomes the salt-master out of this checkout, and the others its minions, as real droplets do."""

import json
import subprocess
import time

from lab import converge, podman, shell
from lab.errors import LabError
from lab.paths import KEYS, PREFIX, ROOT, SITE

DEPLOYED = "/var/lib/insync-lab-deployed"
KNOWN_HOSTS = "/etc/salt/bootstrap/known_hosts"
ANSWER = 90


class Master:
    """The salt-master in the lab."""

    def __init__(self, settings, progress):
        self.name = settings.master
        self.hosts = settings.inventory["hosts"]
        self.progress = progress

    def deploy(self, wheelhouse):
        """
        Deploy this checkout and the site folder with bootstrap/ct1, unless that is what ct1 has; return whether it did.

        wheelhouse (pathlib.Path): Salt's wheels.
        """
        revision = shell.run([str(ROOT / "bootstrap" / "revision")]).stdout.strip()
        wanted = f"{revision} {(SITE / '.made-from').read_text(encoding='utf-8')}"
        script = f"cat {DEPLOYED} 2>/dev/null; basename $(readlink -f /srv/insync/current)"
        if podman.execute(self.name, "sh", "-c", script, check=False).stdout.split() == [*wanted.split(), revision]:
            return False
        self.progress.say(f"{self.name}: deploying {revision}")
        podman.unpack(
            self.name,
            "/root/site",
            shell.run(["tar", "-C", str(SITE), "--exclude=S.*", "-cf", "-", "."], stdin=b"").stdout,
        )
        self.install(wheelhouse)
        podman.write(self.name, DEPLOYED, wanted + "\n")
        return True

    def install(self, wheelhouse, *more):
        """
        Run bootstrap/ct1 of this checkout, with the folder /root/site.

        wheelhouse (pathlib.Path): Salt's wheels. more (str): what else it is told.
        """
        podman.unpack(self.name, "/root/checkout", _checkout())
        target = f"/root/{wheelhouse.name}"
        if podman.execute(self.name, "test", "-e", target, check=False).returncode:
            podman.podman("cp", wheelhouse, f"{PREFIX}{self.name}:{target}")
        told = ["--wheelhouse", target, "--site", "/root/site", "--name", self.name, *more]
        self.run("/root/checkout/bootstrap/ct1", *told)

    def run(self, *command):
        """Run ``command`` on ct1 and say each line that it prints; raise LabError with the last one if it fails."""
        code, said = self._stream(command)
        if code:
            raise LabError(f"{self.name}: {said[-1] if said else f'{command[0]}: exit code {code}'}")

    def forget(self, servers):
        """Delete the keys of ``servers`` (list of str), which were made anew."""
        known = self.accepted()
        for server in sorted(known & set(servers)):
            self._salt("salt-key", "--yes", "--delete", server)

    def enrol(self, servers):
        """
        Make those of ``servers`` minions whose keys are not accepted; the lab plays the provider and its console.

        Returns {server: reason} of those that did not become one.
        """
        new = [server for server in servers if server not in self.accepted() | {self.name}]
        if not new:
            return {}
        self.provide(new)
        self.progress.waiting = set(new)
        _, said = self._stream(["salt-run", "insync.bootstrap", *new])
        accepted = self.accepted()
        return {server: _reason(server, said) for server in new if server not in accepted}

    def prepare(self):
        """
        Let in the servers of the deployed inventory, and bring Salt itself in step: a master that restarts between two
        highstates loses what is returned. The rest of the master's own server comes in its turn.
        """
        self.sync([self.name])
        for _, states in converge.call([self.name], "state.apply", "firewall,salt_master,salt_minion"):
            if not isinstance(states, dict):
                raise LabError(f"{self.name}: state.apply: {states}")

    def sync(self, servers):
        """Give the minions of ``servers`` (list of str) the modules of the checkout."""
        done = podman.execute(self.name, "salt-run", "insync.sync", *servers, check=False)
        if done.returncode:
            said = done.stdout.strip() or done.stderr.strip()
            log = self._log(servers[0], "salt-minion") + self._log(self.name, "salt-master")
            raise LabError(f"{self.name}: salt-run insync.sync: {said}\n{log}")

    def wait_for(self, servers):
        """Wait until the minions of ``servers`` (list of str) answer; return the set of those that do not."""
        missing, deadline = set(servers), time.monotonic() + ANSWER
        while missing and time.monotonic() < deadline:
            self.progress.waiting = missing
            for server, answer in converge.call(sorted(missing), "--timeout=5", "test.ping"):
                missing -= {server} if answer is True else set()
        return missing

    def provide(self, servers):
        """What a provider does: ct1's key on each new droplet, and their host keys, read at the console, on ct1."""
        key = podman.execute(self.name, "cat", "/etc/salt/bootstrap/id_ed25519.pub").stdout
        addresses = {self.hosts[server]["private"] for server in servers}
        before = podman.execute(
            self.name, "sh", "-c", f"cat {KNOWN_HOSTS} 2>/dev/null", check=False
        ).stdout.splitlines()
        lines = [line for line in before if line.split(" ")[0] not in addresses]
        for server in servers:
            podman.execute(server, "install", "-d", "-m", "0700", "/root/.ssh")
            podman.write(server, "/root/.ssh/authorized_keys", key, mode="0600")
            host_key = podman.execute(server, "cat", "/etc/ssh/ssh_host_ed25519_key.pub").stdout.split()
            lines.append(" ".join([self.hosts[server]["private"], *host_key[:2]]))
        podman.write(self.name, KNOWN_HOSTS, "\n".join(lines) + "\n")

    def accepted(self):
        """Return the set of servers whose keys are accepted."""
        listed = self._salt("salt-key", "--list", "accepted", "--out=json").stdout
        return set(json.loads(listed or "{}").get("minions", []))

    def _salt(self, command, *arguments):
        return podman.execute(self.name, command, *arguments, what=f"{self.name}: {command}")

    def _log(self, server, unit):
        """The last lines of a unit's journal, for who cannot look there any more."""
        show = podman.execute(server, "journalctl", "--no-pager", "-n", "15", "-u", unit, check=False)
        return f"{server}, {unit}:\n{show.stdout}"

    def _stream(self, command):
        """Run ``command`` on ct1 and say each line that it prints; return its exit code and the lines."""
        argv = podman.inside(self.name, *command, environment=podman.QUIET)
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        said = []
        with subprocess.Popen(argv, **pipes, text=True, errors="replace") as process:
            for line in filter(str.strip, process.stdout):
                said.append(line.rstrip())
                self.progress.waiting.discard(line.split(":")[0])
                self.progress.say(f"  {line.rstrip()}")
        return process.returncode, said


def _reason(server, said):
    lines = [line.strip() for line in said if line.strip().startswith(f"{server}: ")]
    told = lines[-1].split(": ", 1)[1] if lines else said[-1] if said else "insync.bootstrap said nothing"
    return f"did not become a minion: {told}"


def _checkout():
    names = shell.run([str(ROOT / "bootstrap" / "files")]).stdout
    return shell.run(["tar", "-C", str(ROOT), "-cf", "-", "-T", "-"], stdin=names.encode()).stdout


def operators_in_world(operators):
    """Give each of ``operators`` (dict) a user in insync-world, who holds that operator's private key."""
    script = (
        'id "$1" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash --uid "$2" "$1"; '
        'install -d -m 0700 -o "$1" "/home/$1/.ssh"; install -m 0600 -o "$1" /dev/stdin "/home/$1/.ssh/id_ed25519"'
    )
    for name, operator in operators.items():
        key = (KEYS / name).read_text(encoding="utf-8")
        podman.execute("world", "sh", "-c", script, "sh", name, str(operator["uid"]), stdin=key)
