"""Our side of bench/database.py: the verbs, and what insync.backup_restore does, into a folder of its own."""

import json
import subprocess

from bench.database_ground import FOLDER, SCRATCH, complete, cpu, measured, run
from lab import age, podman
from lab.paths import KEYS, ROOT

NAME, UTILS = "ours", f"{FOLDER}/utils"
# The verb's own steps with the functions that it has in this checkout; after each it waits until it is measured.
PROGRAM = f"""
import json, pathlib, sys, time
sys.path.insert(0, {UTILS!r})
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
file = pathlib.Path({FOLDER!r}, "backup")
insync_db_restore.fetch(bucket, manifest["key"], manifest["sha256"], file)
told("fetched")
insync_db_restore.unpack(file, given["key"], data)
told("unpacked")
with insync_db_restore.served(data, "mysql") as query:
    told("served")
    insync_db_restore.compare(query, manifest)
    told("compared")
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
        verify = (self.verifier, "insync.backup_verify", f"backup={backup['said']['id']}")
        found["verify"] = measured(self.verifier, f"{NAME}: verify", lambda: verb(self.fleet, *verify))
        return found

    def _restore(self, backup):
        """The figures (dict) until a server serves what is in ``backup`` (str), and until it was compared."""
        given = {"backup": backup, "key": age.kept(KEYS, "ops")[1] + "\n"}
        run(self.server, f"mkdir -p {FOLDER} && chmod 0711 {FOLDER}")
        archive = subprocess.run(["tar", "-C", str(ROOT / "_utils"), "-c", "."], capture_output=True, check=True).stdout
        podman.unpack(self.server, UTILS, archive)
        run(self.server, "sync")
        argv = podman.inside(self.server, "/opt/salt/bin/python", "-c", PROGRAM, interactive=True)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(argv, **pipes) as process:
            steps = {}
            try:
                for step, line in [("ready", json.dumps(given)), ("fetched", ""), ("unpacked", ""), ("served", "")]:
                    steps[step] = self._step(process, line)
                complete(self.server, f"{SCRATCH}/socket", self.rows)
                between = cpu(self.server)
                steps["compared"] = self._step(process, "")
            finally:
                process.stdin.close()
                process.wait(60)
                run(self.server, f"rm -rf {SCRATCH} {FOLDER}/backup")
        used, began = steps["served"][1] - steps["ready"][1], steps["served"][0]
        restore = {"seconds": began, "cpu": used}
        compared = {"seconds": steps["compared"][0], "cpu": used + steps["compared"][1] - between}
        for what, one in (("restore", restore), ("restore, compared", compared)):
            print(f"{NAME}: {what}: {one['seconds']:.1f} s, {one['cpu']:.1f} CPU s", flush=True)
        return {"restore": restore, "compared": compared}

    def _step(self, process, line):
        """(seconds that the program tells, CPU seconds of the server) once it has done what ``line`` begins."""
        process.stdin.write(line + "\n")
        process.stdin.flush()
        said = process.stdout.readline()
        if not said:
            raise SystemExit(f"{self.server}: restore: {process.stderr.read().strip().splitlines()[-1][:300]}")
        return json.loads(said)[1], cpu(self.server)
