"""CI: each engine, what may publish, and what the program of Drone is told."""

import pathlib
import re
import shutil

import pytest
import yaml

from lab.compile import CompileError, compile_host
from tests.compile.test_redirects import by_id, edit
from tests.compile.test_refusals import own_checkout  # noqa: F401  fixture

ROOT = pathlib.Path(__file__).resolve().parents[2]
URL, SHA256 = "https://files.example/drone server", "0" * 63 + "a"
DRONE = {"url": URL, "sha256": SHA256, "settings": {"DRONE_GITEA_SERVER": 'https://git.example/a"b$c'}}


@pytest.fixture
def told(site, tmp_path):
    """Compile ``host`` with other settings of CI than the lab's; returns its states as {id: low chunk}."""

    def _told(host, role, **ci):
        shutil.copytree(site, tmp_path / "site", ignore=shutil.ignore_patterns("S.*"))
        path = tmp_path / "site" / "settings.yaml"
        settings = yaml.safe_load(path.read_text())
        settings[role]["ci"] |= ci
        path.write_text(yaml.safe_dump(settings))
        return {chunk["__id__"]: chunk for chunk in compile_host(ROOT, tmp_path / "site", host)["low"]}

    return _told


@pytest.mark.parametrize(("host", "role"), [("drone", "ci"), ("drone-test", "ci_integration")])
def test_what_was_installed_by_hand_is_left_alone_and_stays_open(told, compiled, host, role):
    assert yaml.safe_load((ROOT / "pillar" / "role" / f"{role}.sls").read_text())["ci"]["engine"] == "none"
    low = told(host, role, engine="none")
    assert not {chunk["__sls__"] for chunk in low.values()} & {"buildbot", "drone", "nginx"}
    before = {chunk["__id__"]: chunk for chunk in compiled[host]["low"]}
    assert low["firewall-rules"]["rendered"] == before["firewall-rules"]["rendered"]


def test_the_lab_builds_with_buildbot_alone(compiled):
    for host in ("drone", "drone-test"):
        names = {chunk["__id__"] for chunk in compiled[host]["low"]}
        assert "buildbot-service-buildbot" in names
        assert not {name for name in names if name.startswith("drone")}


def test_only_ci_has_what_publishes(compiled):
    secrets = {host: compiled[host]["pillar"]["secrets"] for host in ("drone", "drone-test")}
    assert secrets["drone"]["pypi_server"].keys() == {"ci_password"}
    assert "pypi_server" not in secrets["drone-test"]
    units = {host: {one["__id__"]: one.get("rendered") for one in compiled[host]["low"]} for host in secrets}
    worker = {host: files["buildbot-file-buildbot-worker.service"] for host, files in units.items()}
    assert "LoadCredential=upload:" in worker["drone"] and "upload" not in worker["drone-test"]


def test_a_project_of_integration_tests_is_not_published(told):
    project = {"repository": "example", "package": "insync-example", "steps": {}, "publish": "staging"}
    with pytest.raises(CompileError, match="this server has no password to do so"):
        told("drone-test", "ci_integration", projects={"example": project})


def test_ci_whose_repositories_have_left_the_fleet_stays_and_says_so(own_checkout, site, compiled):  # noqa: F811
    def leave(hosts):
        for one in hosts.values():
            if "hg_server" in one["roles"]:
                one.update(roles=[role for role in one["roles"] if role != "hg_server"], retired=["hg_server"])

    edit(own_checkout / "pillar" / "inventory" / "hosts.yaml", leave)
    low = by_id(compile_host(own_checkout, site, "drone")["low"])
    before = by_id(compiled["drone"]["low"])
    assert set(low) - set(before) == {"buildbot-no-repositories"}
    assert low["buildbot-no-repositories"]["fun"] == "fail_without_changes"
    assert "no server has the role hg_server" in low["buildbot-no-repositories"]["name"]
    config, hgrc = low["buildbot-config"]["rendered"], low["buildbot-secret-hgrc"]["rendered"]
    compile(config, "master.cfg", "exec")
    assert '"change_source"' not in config and '"change_source"' in before["buildbot-config"]["rendered"]
    # A password without a prefix would be for every server that is asked.
    assert "password" not in hgrc and "hg.password" in before["buildbot-secret-hgrc"]["rendered"]


def test_drone_is_the_program_with_the_pinned_checksum_only(told):
    low = told("drone", "ci", engine="drone", drone=DRONE)
    program = low["drone-program"]
    assert (program["source"], program["source_hash"]) == (URL, f"sha256={SHA256}")
    assert not {name for name in low if name.startswith("buildbot")}
    for name in ("drone-environment", "drone-secrets", "drone-unit"):
        assert {"file": "drone-program"} in low[name]["require"], f"{name} is left alone if the program is refused"
    assert {"file": "drone-program"} in low["drone-service"]["watch"]
    environment = dict(re.findall(r'^(\w+)="(.*)"$', low["drone-environment"]["rendered"], re.MULTILINE))
    assert environment["DRONE_SERVER_HOST"] == "drone.insync.internal"
    assert environment["DRONE_SERVER_PORT"] == "127.0.0.1:8080"
    assert environment["DRONE_GITEA_SERVER"] == r"https://git.example/a\"b\$c"
    secret = r'''DRONE_RPC_SECRET="lab 'drone' \"rpc\" \$x \`y\` \\ #1"'''
    assert low["drone-secrets"]["rendered"].splitlines()[1:] == [secret]
    assert "auth_basic" not in low["nginx-config"]["rendered"]


@pytest.mark.parametrize("missing", ["url", "sha256"])
def test_drone_without_a_pin_is_refused(told, missing):
    with pytest.raises(CompileError, match="the url and the sha256 of the program have to be told"):
        told("drone", "ci", engine="drone", drone={**DRONE, missing: None})


def test_an_unknown_engine_is_refused(told):
    with pytest.raises(CompileError, match="ci.engine: jenkins is neither buildbot nor drone nor none"):
        told("drone", "ci", engine="jenkins")
