"""A real master with two real minions on loopback, configured with the files that the states write."""

import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import time

import insync_bootstrap
import pytest
import salt.client
import salt.config
import salt.utils.crypt
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What a test on one machine cannot share with a server: users, addresses, places of logs.
MACHINE = ("id", "user", "interface", "master", "log_file", "file_roots", "pillar_roots", "gpg_keydir")


@pytest.fixture(scope="session")
def salt_factories_config(tmp_path_factory):
    """A short path: sockets are below it."""
    return {"root_dir": str(tmp_path_factory.mktemp("sf")), "start_timeout": 90, "slow_stop": False}


@pytest.fixture(scope="session")
def configure(compiled):
    """Give a daemon the configuration that the state ``state_id`` would write on ``server``."""

    def _configure(daemon, server, state_id, **changes):
        chunk = next(chunk for chunk in compiled[server]["low"] if chunk["__id__"] == state_id)
        text = chunk["rendered"].replace("/srv/insync/current", str(ROOT))
        wanted = {key: value for key, value in yaml.safe_load(text).items() if key not in MACHINE}
        wanted |= {"enable_gpu_grains": False, **changes}
        conf_file = pathlib.Path(daemon.config["conf_file"])
        include = conf_file.parent / f"{conf_file.name}.d"
        include.mkdir(exist_ok=True)
        (include / "insync.conf").write_text(yaml.safe_dump(wanted))
        _below_root(daemon.config["root_dir"], ROOT / "_utils")

    return _configure


def _below_root(root, directory):
    """Salt looks for utils_dirs below its root_dir, which is / on a server."""
    link = pathlib.Path(f"{root}{directory}")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(directory)


@pytest.fixture(scope="session")
def served(site):
    """Where the master finds states, pillar and the keys of secrets."""
    return {
        "file_roots": {"base": [str(ROOT / "salt"), str(ROOT / "roots")]},
        "pillar_roots": {"base": [str(ROOT / "pillar"), str(site)]},
        "gpg_keydir": str(site / "gpgkeys"),
    }


@pytest.fixture(scope="session")
def master(salt_factories, configure, served):
    """The master; it accepts no key by itself."""
    daemon = salt_factories.salt_master_daemon("ct1_master", overrides={"interface": "127.0.0.1"})
    configure(daemon, "ct1", "salt-master-config", **served)
    with daemon.started():
        yield daemon


@pytest.fixture(scope="session")
def run(master):
    """The command salt-run as an operator types it: ``run("insync.check")``."""

    def _run(*arguments, conf_file=master.config["conf_file"]):
        salt_run = pathlib.Path(sys.executable).with_name("salt-run")
        command = [salt_run, "--config-dir", pathlib.Path(conf_file).parent, "--log-level=critical", *arguments]
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        # For each file of a sync Salt loads the minion's private key four times, 50 ms of CPU each.
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)

    return _run


@pytest.fixture(scope="session")
def minions(master, configure, run):
    """A server with the role base only, and ct1; each is accepted by the fingerprint that it shows itself."""
    daemons = {name: master.salt_minion_daemon(name) for name in ("web02", "ct1")}
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        starts = []
        for name, daemon in daemons.items():
            configure(daemon, name, "salt-minion-config", acceptance_wait_time=0.5, random_reauth_delay=1)
            pki, extmods = (pathlib.Path(daemon.config[key]) for key in ("pki_dir", "extension_modules"))
            shutil.copy(pathlib.Path(master.config["pki_dir"], "master_sign.pub"), pki)
            insync_bootstrap.extmods(ROOT, extmods)
            starts += [pool.submit(daemon.start), pool.submit(_accept, run, name, pki / "minion.pub")]
        results = [start.result() for start in starts]
    assert [result.returncode for result in results[1::2]] == [0, 0], results[1::2]
    yield daemons
    for daemon in daemons.values():
        daemon.terminate()


def _accept(run, name, public):
    for _ in range(120):
        if public.exists() and public.stat().st_size:
            return run("insync.accept", name, salt.utils.crypt.pem_finger(str(public)))
        time.sleep(0.5)
    raise TimeoutError(f"{public} was not made")


@pytest.fixture(scope="session")
def client(master, minions):
    """The connection to the master with both minions there: ``client.cmd("web02", "test.ping")``."""
    return salt.client.LocalClient(c_path=master.config["conf_file"])


@pytest.fixture(scope="session")
def web02(minions):
    """The configuration of the accepted minion web02, for a test that speaks to the master in its name."""
    opts = salt.config.minion_config(minions["web02"].config["conf_file"])
    return {**opts, "master_ip": opts["master"], "master_uri": f"tcp://{opts['master']}:{opts['master_port']}"}


@pytest.fixture
def stranger(web02, tmp_path):
    """The same with a key of its own: ``stranger("evil")``."""

    def _stranger(name):
        pki = tmp_path / name
        pki.mkdir()
        shutil.copy(pathlib.Path(web02["pki_dir"], "master_sign.pub"), pki)
        return {**web02, "id": name, "pki_dir": str(pki), "auth_tries": 1, "auth_timeout": 5}

    return _stranger
