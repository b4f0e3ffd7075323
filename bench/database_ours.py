"""Our side of bench/database.py: the verbs, and what insync.backup_restore does, into a folder of its own."""

import contextlib
import json
import subprocess

from bench.database_ground import FOLDER, SCRATCH, complete, cpu, measured, run
from lab import age, podman
from lab.paths import KEYS, ROOT

NAME, CODE = "ours", f"{FOLDER}/code"
# The verb's own steps with the functions that it has in this checkout; after each it waits until it is measured.
PROGRAM = f"""
import json, pathlib, sys, time
sys.path.insert(0, {CODE!r} + "/utils")
import salt.client
import insync_conf, insync_db_archive, insync_db_restore

def told(step):
    print(json.dumps([step, time.monotonic() - began]), flush=True)
    sys.stdin.readline()

began, given = time.monotonic(), json.loads(sys.stdin.readline())
pillar = salt.client.Caller().sminion.opts["pillar"]
where = pillar["mariadb"]["backup"]
named = {{"access": where["access_key"], "secret": where["secret_key"]}}
keys = insync_conf.resolve(named, {{}}, pillar["secrets"])
bucket = insync_db_archive.store(where, keys["access"], keys["secret"])
data = pathlib.Path({SCRATCH!r})
told("ready")
began = time.monotonic()
manifest = insync_db_archive.manifest(bucket, insync_db_archive.PHYSICAL, given["backup"])
insync_db_restore.check_version(manifest)
insync_db_restore.unpack(bucket, manifest, given["key"], data)
told("unpacked")
with insync_db_restore.served(data, "mysql") as query:
    told("served")
    insync_db_restore.compare(query, manifest)
    told("compared")
"""
# The verb itself, as it is in this checkout; its start is not counted.
VERIFY = f"""
import json, sys, time
sys.path.insert(0, {CODE!r} + "/utils")
import salt.client, salt.config

began, given = time.monotonic(), json.loads(sys.stdin.readline())
caller = salt.client.Caller(mopts={{**salt.config.minion_config("/etc/salt/minion"), "extension_modules": {CODE!r}}})
print(json.dumps(["ready", time.monotonic() - began]), flush=True)
sys.stdin.readline()
began = time.monotonic()
said = caller.cmd("insync.backup_verify", **given)
print(json.dumps([said, time.monotonic() - began]), flush=True)
"""


def verb(fleet, server, *words):
    """Return what a verb returns (dict); raise SystemExit with what it says if it fails."""
    said = fleet.salt(server, *words).get(server)
    if not isinstance(said, dict):
        # The last line of several tells what it was.
        raise SystemExit(f"{server}: {' '.join(words)}: {str(said).strip().splitlines()[-1][:300]}")
    return said


class Ours:
    """Backups by the verb, as an operator types it on ct1."""

    name = NAME

    def __init__(self, fleet, server, verifier, rows):
        """server, verifier (str): where backups are made and restored, and where they are verified. rows (int)."""
        self.fleet, self.server, self.verifier, self.rows = fleet, server, verifier, rows

    def round(self):
        """Back up, restore and verify; return the figures (dict: backup, restore, compared, verify, megabytes)."""
        backup = measured(self.server, f"{NAME}: backup", lambda: verb(self.fleet, self.server, "insync.backup"))
        verb(self.fleet, self.server, "insync.backup", "kind=binlogs")
        found = {"backup": backup, "megabytes": backup["said"]["bytes"] / 10**6, **self._restore(backup["said"]["id"])}
        found["verify"] = self._verify(backup["said"]["id"])
        return found

    def _verify(self, backup):
        """The figures (dict) of the verification of ``backup`` (str)."""
        with self._running(self.verifier, VERIFY) as step:
            began = step(json.dumps({"backup": backup}))[1]
            seconds, ended = step("")
        print(f"{NAME}: verify: {seconds:.1f} s, {ended - began:.1f} CPU s", flush=True)
        return {"seconds": seconds, "cpu": ended - began}

    def _restore(self, backup):
        """The figures (dict) until a server serves what is in ``backup`` (str), and until it was compared."""
        given = {"backup": backup, "key": age.kept(KEYS, "ops")[1] + "\n"}
        with self._running(self.server, PROGRAM) as step:
            steps = {"ready": step(json.dumps(given))}
            steps |= {name: step("") for name in ("unpacked", "served")}
            complete(self.server, f"{SCRATCH}/socket", self.rows)
            between = cpu(self.server)
            steps["compared"] = step("")
        used, began = steps["served"][1] - steps["ready"][1], steps["served"][0]
        restore = {"seconds": began, "cpu": used}
        compared = {"seconds": steps["compared"][0], "cpu": used + steps["compared"][1] - between}
        for what, one in (("restore", restore), ("restore, compared", compared)):
            print(f"{NAME}: {what}: {one['seconds']:.1f} s, {one['cpu']:.1f} CPU s", flush=True)
        return {"restore": restore, "compared": compared}

    @contextlib.contextmanager
    def _running(self, server, program):
        """Run ``program`` (str) on ``server`` meanwhile; yield what lets it go on: line -> (seconds, CPU seconds)."""
        for name in ("utils", "modules"):
            folder = ["tar", "-C", str(ROOT / f"_{name}"), "-c", "."]
            podman.unpack(server, f"{CODE}/{name}", subprocess.run(folder, capture_output=True, check=True).stdout)
        run(server, f"chmod 0711 {FOLDER}; sync")
        argv = podman.inside(server, "/opt/salt/bin/python", "-c", program)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(argv, **pipes) as process:
            try:
                yield lambda line: self._step(server, process, line)
            finally:
                process.stdin.close()
                process.wait(60)
                run(server, f"rm -rf {SCRATCH} {FOLDER}/backup {CODE}; rmdir --ignore-fail-on-non-empty {FOLDER}")

    def _step(self, server, process, line):
        """(seconds that the program tells, CPU seconds of the server) once it has done what ``line`` begins."""
        process.stdin.write(line + "\n")
        process.stdin.flush()
        said = process.stdout.readline()
        if not said:
            raise SystemExit(f"{server}: {process.stderr.read().strip().splitlines()[-1][:300]}")
        return json.loads(said)[1], cpu(server)
