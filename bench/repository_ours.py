"""Our side of bench/repositories.py: what a verb does, in this process, or in one that has to start for it.

Each verb opens the store anew, as insync_publisher does. `python bench/repository_ours.py` reads a site and steps as
JSON, and takes these steps.
"""

import json
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "_utils")]

import insync_gpg  # noqa: E402
import insync_publish  # noqa: E402
import insync_repos  # noqa: E402
import insync_store  # noqa: E402
import yaml  # noqa: E402

from bench import repository_builds as builds  # noqa: E402
from lab import s3  # noqa: E402
from lab.paths import LAB  # noqa: E402

# As many serials and versions as there are rounds, and then some: what is dropped is no part of this.
RETAIN = {"versions": 1000, "serials": 1000, "days": 0}


def credentials():
    """Return the key and the secret (tuple of str) of the lab's store."""
    secrets = yaml.safe_load((LAB / "fake_secrets.yaml").read_text(encoding="utf-8"))["repos"]
    return secrets["s3_access_key"], secrets["s3_secret_key"]


def opened(bucket, endpoint):
    """Return the insync_store.Store of ``bucket`` (str) at ``endpoint`` (str)."""
    return insync_store.Store(bucket, *credentials(), endpoint=endpoint, region=s3.REGION)


def site(home, key, endpoint, buckets, suites, packages):
    """
    Return what the steps need (dict) to know of a publisher.

    home (path): of its repositories. key (Key): that signs all. endpoint (str), buckets ({kind: str}).
    suites ({kind: {family: list of releases}}), packages (list of str): that its repositories have.
    """
    declared = {"retain": RETAIN, "build_key": key.public}
    for kind, groups in suites.items():
        declared[kind] = {
            "url": f"http://{kind}.insync.io",
            "components": ["non-free", "contrib"],
            "architectures": [builds.ARCHITECTURES[kind]],
            "packages": packages,
            "file": builds.FILES[kind],
            {"apt": "suites", "yum": "releases"}[kind]: groups,
            "origin": "Insync",
        }
    return {
        "home": str(home),
        "declared": declared,
        "signer": [str(key.home), key.fingerprint],
        "endpoint": endpoint,
        "buckets": buckets,
    }


def add(at, kind, version, folder):
    """Step: add the build of ``version`` in ``folder`` (str each)."""
    root, signer = _root(at, kind), insync_gpg.Signer(*at["signer"])
    insync_repos.add(root, version, folder, signer, "bench")


def roll_back(at, kind):
    """Step: let all units come back to what was before."""
    root, signer = _root(at, kind), insync_gpg.Signer(*at["signer"])
    insync_repos.roll_back(root, dict.fromkeys(insync_repos.current(root)), signer, "bench")


def publish(at, kind):
    """Step: publish what is current."""
    root, store = _root(at, kind), opened(at["buckets"][kind], at["endpoint"])
    memory = pathlib.Path(at["home"], kind, "published.json")
    insync_publish.publish(store, insync_repos.current(root), root.path, memory)


STEPS = {step.__name__: step for step in (add, roll_back, publish)}


def take(at, steps):
    """Take ``steps`` (list of a name and other arguments); return the seconds that checks by apt and dnf take."""
    spans = []
    checks = dict(insync_repos.CHECKS)
    insync_repos.CHECKS.update({kind: _timed(check, spans) for kind, check in checks.items()})
    seconds = 0
    try:
        for name, *arguments in steps:
            STEPS[name](at, *arguments)
            # Two of them run at once.
            seconds += max(end for _, end in spans) - min(begun for begun, _ in spans) if spans else 0
            spans.clear()
    finally:
        insync_repos.CHECKS.update(checks)
    return seconds


def take_cold(at, steps):
    """Take them in a process of its own; nothing of what that takes is left out."""
    told = json.dumps([at, steps])
    done = subprocess.run([sys.executable, __file__], input=told, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)


def _root(at, kind):
    return insync_repos.Root(at["home"], kind, at["declared"])


def _timed(check, spans):
    def timed(*arguments):
        began = time.perf_counter()
        try:
            return check(*arguments)
        finally:
            spans.append((began, time.perf_counter()))

    return timed


if __name__ == "__main__":
    take(*json.load(sys.stdin))
