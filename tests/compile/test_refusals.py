"""What must not compile, and that the message says what to mend."""

import pathlib
import shutil

import pytest
import yaml

from lab.compile import CompileError, compile_host, stop_gpg

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVED = ("pillar", "salt", "roots", "_modules", "_states", "_utils")


@pytest.fixture
def own_site(site, tmp_path):
    """A copy of the site folder, for this test to break."""
    stop_gpg(site)
    copy = tmp_path / "site"
    shutil.copytree(site, copy)
    yield copy
    stop_gpg(copy)


@pytest.fixture
def own_checkout(tmp_path):
    """A copy of what Salt reads of this checkout, for this test to change."""
    copy = tmp_path / "checkout"
    for name in SERVED:
        shutil.copytree(ROOT / name, copy / name, symlinks=True)
    shutil.copy(ROOT / "top.sls", copy)
    (copy / "requirements").mkdir()
    shutil.copy(ROOT / "requirements" / "salt.txt", copy / "requirements")
    return copy


def secrets(site, values):
    (site / "secrets" / "base.yaml").write_text(yaml.safe_dump(values))


BROKEN_SITES = {
    "a secret is missing": (
        lambda site: secrets(site, {"other": "x"}),
        "secrets/base.yaml: secret 'console_password_hash' is missing",
    ),
    "a secret is surplus": (
        lambda site: secrets(site, {"console_password_hash": "x", "spare": "y"}),
        "secrets/base.yaml: secret 'spare' is not one of console_password_hash",
    ),
    "no secrets of a role": (
        lambda site: (site / "secrets" / "base.yaml").unlink(),
        "secrets/base.yaml: no such file in the site folder",
    ),
    "a secret that no key opens": (
        lambda site: shutil.rmtree(site / "gpgkeys"),
        "Could not decrypt cipher",
    ),
    "no operators file": (
        lambda site: (site / "operators.yaml").unlink(),
        "operators.yaml: no such file in the site folder",
    ),
    "nobody is an operator": (
        lambda site: (site / "operators.yaml").write_text("operators: {}"),
        "operators.yaml: no operators; this would lock everybody out",
    ),
    "no settings": (
        lambda site: (site / "settings.yaml").unlink(),
        "settings.yaml: no such file in the site folder",
    ),
}


@pytest.mark.parametrize("case", BROKEN_SITES)
def test_a_broken_site_is_refused(own_site, case):
    damage, message = BROKEN_SITES[case]
    damage(own_site)
    with pytest.raises(CompileError) as caught:
        compile_host(ROOT, own_site, "web02")
    assert str(caught.value).startswith("web02: pillar: ")
    assert message in str(caught.value)


def test_an_unknown_server_is_refused_by_name(site):
    with pytest.raises(CompileError, match="there is no server 'evil'"):
        compile_host(ROOT, site, "evil")


@pytest.mark.parametrize(
    "path, text, message",
    [
        ("salt/journal/init.sls", "journal-config: [", "web02: states: "),
        ("salt/journal/map.jinja", "{%- set journal = pillar['nothing'] %}", "'nothing'"),
        ("salt/journal/files/journald.conf.j2", "{{ jornal.max_use }}", "'jornal' is undefined"),
        ("top.sls", "{{", "web02: states: none; does top.sls render"),
        ("top.sls", "base:\n  '*':\n    - role.nowhere\n", "role.nowhere"),
    ],
)
def test_broken_states_are_refused(own_checkout, site, path, text, message):
    (own_checkout / path).write_text(text)
    with pytest.raises(CompileError, match=message):
        compile_host(own_checkout, site, "web02")


def test_secrets_reach_only_the_servers_of_their_role(own_checkout, own_site):
    required = own_checkout / "pillar" / "secrets" / "required.yaml"
    required.write_text(required.read_text() + "salt_master:\n  api_token: what for\n")
    (own_site / "secrets" / "salt_master.yaml").write_text("api_token: only-for-ct1\n")
    assert compile_host(own_checkout, own_site, "ct1")["pillar"]["secrets"]["salt_master"] == {
        "api_token": "only-for-ct1"
    }
    assert "only-for-ct1" not in str(compile_host(own_checkout, own_site, "web02"))
