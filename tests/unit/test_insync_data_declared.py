"""What a role can say of its data, and what it cannot mean."""

import insync_data_declared as declared
import insync_site
import pytest
import yaml

DATA = {"sqlite": ["/a.db"], "units": ["a.service"]}


@pytest.fixture
def roots(tmp_path):
    (tmp_path / "role").mkdir()

    def write(**roles):
        for role, backup in roles.items():
            (tmp_path / "role" / f"{role}.sls").write_text(yaml.safe_dump({"backup": backup}))
        return [str(tmp_path)]

    return write


def test_it_is_what_the_roles_say_together(roots):
    found = declared.of_roles(roots(wiki={"wiki": DATA}, web={"web": {"none": "why"}}), ["wiki", "web", "mute"])
    assert found == {"wiki": DATA, "web": {"none": "why"}}
    assert declared.kinds(found, ()) == {"wiki": DATA}


def test_two_roles_may_mean_the_same_data_and_not_two_by_one_name(roots):
    same = {"certificates": {"files": ["/etc/letsencrypt"]}}
    assert declared.of_roles(roots(wiki=same, forum=same), ["wiki", "forum"]) == same
    with pytest.raises(insync_site.SiteError, match="role/forum.sls: backup.certificates: is another role's too"):
        declared.of_roles(roots(wiki=same, forum={"certificates": {"files": ["/etc"]}}), ["wiki", "forum"])


def test_it_may_depend_on_the_pillar():
    data = {"forum": {"files": ["/a"], "when": ["forum", "engine", "misago"]}}
    assert declared.applies(data["forum"], {"forum": {"engine": "misago"}})
    for pillar in ({}, {"forum": {}}, {"forum": {"engine": "none"}}):
        assert not declared.applies(data["forum"], pillar)


def test_it_may_be_anothers_task_where_that_role_is_played():
    data = {"mysql_primary": {"mariadb": ["insync"], "unless": "mysql_replica"}}
    assert declared.kinds(data, {"mysql_primary"}) == data
    assert declared.kinds(data, {"mysql_primary", "mysql_replica"}) == {}


@pytest.mark.parametrize(
    "what, problem",
    [
        ({}, "says neither"),
        (None, "says neither"),
        ({"none": "why", "files": ["/a"]}, "there cannot be data"),
        ({"none": True}, "none: is not a text"),
        ({"file": ["/a"]}, "'file' is not one of none, files"),
        ({"files": "/a"}, "files: is not a list"),
        ({"files": []}, "files: is not a list"),
        ({"redis": ["/a"]}, "redis: is not a text"),
        ({"units": ["a.service"]}, "names no data"),
        ({"files": ["etc"]}, "files: etc: does not begin with /"),
        ({"hg": "srv"}, "hg: srv: does not begin with /"),
        ({"files": ["/a"], "when": ["forum"]}, "when: is not"),
        ({"mariadb": "insync"}, "mariadb: is not a list"),
        ({"mariadb": ["insync"], "postgresql": "misago"}, "let each be a kind of its own"),
    ],
)
def test_what_cannot_be_meant_is_refused(roots, what, problem):
    with pytest.raises(insync_site.SiteError, match=problem):
        declared.of_roles(roots(wiki={"wiki": what}), ["wiki"])
