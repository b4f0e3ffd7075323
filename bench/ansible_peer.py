"""Ansible on ct1, which restarts and updates the same web processes behind the same load balancer."""

import contextlib
import json
import pathlib

import insync_inventory

from lab import podman

ROOT = pathlib.Path(__file__).resolve().parents[1]
HOME = "/root/peer"
SSHD_PORT = 2222
VENV = "/insync/venv/peer"


class Peer:
    """
    The peer, from its installation to its removal.

    While ``serving``, the slot in service runs from a virtualenv that is installed into in place, as is usual; before
    and after, it is the release's own.
    """

    def __init__(self):
        inventory = insync_inventory.load(ROOT / "pillar" / "inventory")
        self.inventory = insync_inventory.seen_from(inventory, insync_inventory.PRODUCTION)
        (self.balancer,) = insync_inventory.hosts_with(self.inventory, "web_lb")
        (self.master,) = insync_inventory.hosts_with(self.inventory, "salt_master")
        self.servers = insync_inventory.pools(self.inventory)["web"]
        self.private = {name: host["private"] for name, host in self.inventory["hosts"].items()}
        self.unit = self.environment = None

    def install(self):
        """Put Ansible on ct1, and let it in as root on the servers, as it needs to be."""
        lock = (ROOT / "requirements" / "bench.txt").read_text(encoding="utf-8")
        playbook = (ROOT / "bench" / "ansible" / "rolling.yml").read_text(encoding="utf-8")
        podman.execute(self.master, "install", "-d", "-m", "0700", HOME)
        podman.write(self.master, f"{HOME}/requirements.txt", lock)
        podman.write(self.master, f"{HOME}/rolling.yml", playbook)
        podman.write(self.master, f"{HOME}/ansible.cfg", _CONFIG)
        source = self._source()
        script = f"""
            set -eu
            export SSL_CERT_FILE={source["ca"]}
            /opt/salt/bin/uv venv --quiet --python /usr/bin/python3 {HOME}/venv
            /opt/salt/bin/uv pip install --quiet --python {HOME}/venv/bin/python --index-url {source["index"]} \
                --require-hashes --requirement {HOME}/requirements.txt
            [ -e {HOME}/key ] || ssh-keygen -q -t ed25519 -N '' -f {HOME}/key
        """
        podman.execute(self.master, "sh", "-c", script)
        key = podman.execute(self.master, "cat", f"{HOME}/key.pub").stdout
        for server in {*self.servers, self.balancer}:
            self._let_in(server, key)

    def _let_in(self, server, key):
        podman.execute(server, "install", "-d", "-m", "0700", HOME)
        podman.write(server, f"{HOME}/authorized_keys", key, mode="0600")
        podman.write(server, f"{HOME}/sshd_config", _SSHD)
        source = self.private[self.master]
        allow = f"insert rule inet insync input ip saddr {source} tcp dport {SSHD_PORT} accept"
        podman.execute(server, "sh", "-c", f"nft {allow} && /usr/sbin/sshd -f {HOME}/sshd_config")

    def build(self, packages):
        """Make the virtualenv that is installed into, with ``packages`` (list of str), on each server."""
        source = self._source()
        script = f"""
            set -eu
            python3 -m venv {VENV}
            {VENV}/bin/python -m pip install --quiet --index-url {source["index"]} --cert {source["ca"]} \
                {" ".join(packages)}
        """
        for server in self.servers:
            podman.execute(server, "sh", "-c", script)

    @contextlib.contextmanager
    def serving(self, slot):
        """Let ``slot`` (str), the one in service, run from the peer's virtualenv in the block; customers notice."""
        self.unit, self.environment = f"web@{slot}", f"/etc/insync/web/{slot}.env"
        podman.write(self.master, f"{HOME}/inventory.json", json.dumps(self._inventory(slot)))
        self._restart(f"cp -a {self.environment} {HOME}/env && sed -i s,^VENV=.*,VENV={VENV}, {self.environment}")
        try:
            yield
        finally:
            self._restart(f"cp -a {HOME}/env {self.environment}")

    def _restart(self, script):
        for server in self.servers:
            podman.execute(server, "sh", "-c", f"{script} && systemctl restart {self.unit}")

    def command(self, packages=()):
        """Return the command line (list of str), for ct1, that restarts all, or installs ``packages`` (list of str)."""
        extra = ["--extra-vars", json.dumps({"packages": list(packages)})] if packages else []
        return ["sh", "-c", f'cd {HOME} && exec venv/bin/ansible-playbook "$@" rolling.yml', "sh", *extra]

    def naive(self):
        """Return the command line (list of str), for ct1, that restarts all at once, as one line does it."""
        module = ["-m", "ansible.builtin.systemd_service", "-a", f"name={self.unit} state=restarted"]
        return ["sh", "-c", f'cd {HOME} && exec venv/bin/ansible "$@"', "sh", "pool", *module]

    def remove(self):
        """Take away all that was put on the servers."""
        for server in {*self.servers, self.balancer}:
            script = f"kill $(cat /run/peer-sshd.pid); nft -f /etc/nftables.conf; rm -rf {HOME} {VENV}"
            podman.execute(server, "sh", "-c", script, check=False)
        podman.execute(self.master, "rm", "-rf", HOME, check=False)

    def _source(self):
        """Where packages come from, as the servers are told."""
        release = json.loads(podman.execute(self.servers[0], "cat", "/etc/insync/web/release.json").stdout)
        return {key: release[key] for key in ("index", "ca")}

    def _inventory(self, slot):
        source = self._source()
        facts = {
            **source,
            "balancer": self.balancer,
            "backend": f"b_web_{slot}",
            "unit": self.unit,
            "venv": VENV,
            "environment_file": self.environment,
            "port": self.inventory["services"][f"web-{slot}"]["port"],
            "ansible_port": SSHD_PORT,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": f"{HOME}/key",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        hosts = {name: {"ansible_host": self.private[name], "address": self.private[name]} for name in self.servers}
        return {"all": {"vars": facts, "children": {"pool": {"hosts": hosts}}}}


# As its documentation advises who wants it fast: pipelining, and connections that are kept.
_CONFIG = f"""[defaults]
inventory = {HOME}/inventory.json
host_key_checking = False
forks = 10
[ssh_connection]
pipelining = True
ssh_args = -o ControlMaster=auto -o ControlPersist=60s
"""
_SSHD = f"""Port {SSHD_PORT}
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile {HOME}/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
PidFile /run/peer-sshd.pid
"""
