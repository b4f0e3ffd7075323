"""Which secrets a server gets."""

import insync_secrets
import insync_site
import pytest
import yaml

REQUIRED = {"base": {"console": "the console"}, "db": {"root": "the database", "replication": "the replica"}}


@pytest.fixture
def roots(tmp_path):
    folders = [tmp_path / "pillar", tmp_path / "site"]
    for folder in folders:
        (folder / "secrets").mkdir(parents=True)
    (folders[0] / "secrets" / "required.yaml").write_text(yaml.safe_dump(REQUIRED, sort_keys=False))
    (folders[0] / "secrets" / "shared.yaml").write_text(yaml.safe_dump({"replica": {"db": ["replication"]}}))
    return [str(folder) for folder in folders]


@pytest.fixture
def store(tmp_path):
    def _store(role, **values):
        (tmp_path / "site" / "secrets" / f"{role}.yaml").write_text(yaml.safe_dump(values))

    return _store


def test_a_server_gets_the_secrets_of_its_roles_only(roots, store):
    store("base", console="c")
    store("db", root="r", replication="s")
    assert insync_secrets.for_roles(roots, ["base"]) == {"base": {"console": "c"}}
    both = {"base": {"console": "c"}, "db": {"root": "r", "replication": "s"}}
    assert insync_secrets.for_roles(roots, ["base", "db", "web"]) == both
    assert insync_secrets.for_roles(roots, ["web"]) == {}


@pytest.mark.parametrize(
    "values, message",
    [
        ({"root": "r"}, "secrets/db.yaml: secret 'replication' is missing (the replica)"),
        ({"root": "", "replication": "s"}, "secrets/db.yaml: secret 'root' is missing (the database)"),
        (
            {"root": "r", "replication": "s", "spare": "x"},
            "secrets/db.yaml: secret 'spare' is not one of root, replication",
        ),
    ],
)
def test_a_missing_or_surplus_secret_is_refused(roots, store, values, message):
    store("base", console="c")
    store("db", **values)
    with pytest.raises(insync_site.SiteError) as caught:
        insync_secrets.for_roles(roots, ["base", "db"])
    assert str(caught.value) == message


def test_a_role_without_its_file_is_refused(roots):
    with pytest.raises(insync_site.SiteError, match=r"secrets/base\.yaml: no such file"):
        insync_secrets.for_roles(roots, ["base"])


def test_a_role_gets_what_another_shares_with_it_and_no_more(roots, store):
    store("base", console="c")
    store("db", root="r", replication="s")
    assert insync_secrets.for_roles(roots, ["replica"]) == {"db": {"replication": "s"}}
    assert insync_secrets.for_roles(roots, ["db", "replica"]) == {"db": {"root": "r", "replication": "s"}}


@pytest.mark.parametrize("shared", [{"replica": {"db": ["nosuch"]}}, {"replica": {"nosuch": ["root"]}}])
def test_sharing_what_there_is_not_is_refused(roots, store, shared):
    with open(f"{roots[0]}/secrets/shared.yaml", "w", encoding="utf-8") as file:
        yaml.safe_dump(shared, file)
    store("db", root="r", replication="s")
    with pytest.raises(insync_site.SiteError, match=r"shared\.yaml: replica: there is no secret \w+\.\w+ in secrets/"):
        insync_secrets.for_roles(roots, ["replica"])
