"""Which server gets which key for its backups, and what is said when one is missing."""

import insync_backup_keys as keys
import insync_site
import pytest
import yaml

INVENTORY = {"hosts": {"wiki": {"roles": ["wiki"]}, "web": {"roles": ["web"]}, "ct1": {"roles": ["backup_retention"]}}}
DECLARED = {"wiki": {"wiki": {"files": ["/a"]}}, "web": {"web": {"none": "it keeps nothing"}}}


def values(server):
    return {key: f"{key} of {server}" for key in keys.KEYS}


@pytest.fixture
def roots(tmp_path):
    """The pillar, and a site folder with the key of the one server that needs one."""
    for role, backup in DECLARED.items():
        (tmp_path / "pillar" / "role").mkdir(parents=True, exist_ok=True)
        (tmp_path / "pillar" / "role" / f"{role}.sls").write_text(yaml.safe_dump({"backup": backup}))
    (tmp_path / "site" / "backups").mkdir(parents=True)
    (tmp_path / "site" / "backups" / "wiki.yaml").write_text(yaml.safe_dump(values("wiki")))
    return [str(tmp_path / "pillar"), str(tmp_path / "site")]


def test_who_has_data_gets_its_key_and_who_removes_the_passwords(roots):
    assert keys.servers(roots, INVENTORY) == ["wiki"]
    assert keys.of_host(roots, INVENTORY, "wiki") == {"backup": values("wiki")}
    assert keys.of_host(roots, INVENTORY, "web") == {}
    assert keys.of_host(roots, INVENTORY, "ct1") == {"backup_passwords": {"wiki": "password of wiki"}}
    assert keys.problems(roots, INVENTORY) == []


@pytest.mark.parametrize(
    "text, problem",
    [
        (None, "backups/wiki.yaml: no such file"),
        ("{password: a, s3_access_key: b}", "backups/wiki.yaml: 's3_secret_key' is missing"),
        ("{password: a, s3_access_key: b, s3_secret_key: c, more: d}", "backups/wiki.yaml: 'more' is not one of"),
    ],
)
def test_a_missing_or_surplus_one_is_named(roots, tmp_path, text, problem):
    file = tmp_path / "site" / "backups" / "wiki.yaml"
    file.write_text(text) if text else file.unlink()
    with pytest.raises(insync_site.SiteError, match=problem):
        keys.of_host(roots, INVENTORY, "wiki")
    (line,) = keys.problems(roots, INVENTORY)
    assert problem in line


def test_a_declaration_that_cannot_be_meant_is_named(roots, tmp_path):
    (tmp_path / "pillar" / "role" / "wiki.sls").write_text("backup: {wiki: {}}\n")
    (line,) = keys.problems(roots, INVENTORY)
    assert "role/wiki.sls: backup.wiki: says neither" in line
