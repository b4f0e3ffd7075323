"""Checking a checkout and its site folder before a server sees them."""

import pathlib
import shutil

import insync_check
import insync_check_roles
import insync_fleet_page
import insync_inventory
import insync_primaries
import pytest
import salt.utils.dictupdate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def copies(site, tmp_path):
    """A checkout and a site folder, for this test to break."""
    for name in ("pillar", "salt"):
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name)
    shutil.copytree(site, tmp_path / "site", ignore=shutil.ignore_patterns("gpgkeys"))
    return tmp_path / "checkout", tmp_path / "site"


def test_all_is_well(copies, capsys):
    assert insync_check.problems(*copies) == []
    assert insync_check.main(*map(str, copies)) == 0
    assert capsys.readouterr().err == ""


def test_all_problems_of_the_site_are_told_at_once(copies, capsys):
    site = copies[1]
    (site / "operators.yaml").unlink()
    (site / "settings.yaml").write_text("- a")
    (site / "secrets" / "base.yaml").write_text("other: x")
    found = insync_check.problems(*copies)
    assert len(found) == 3
    for line, name in zip(found, ("operators.yaml", "secrets/base.yaml", "settings.yaml"), strict=True):
        assert f"{name}: " in line
    assert insync_check.main(*copies) == 1
    assert capsys.readouterr().err.splitlines() == found


def test_a_broken_inventory_is_told_before_the_site(copies):
    checkout, site = copies
    inventory = checkout / "pillar" / "inventory" / "hosts.yaml"
    inventory.write_text(inventory.read_text().replace("web02:", "web02:\n  colour: green", 1))
    (site / "operators.yaml").unlink()
    found = insync_check.problems(checkout, site)
    assert found and all(line.startswith("hosts.yaml: ") for line in found)
    assert "colour" in found[0]


def test_a_primary_that_the_inventory_does_not_know_is_told(copies, tmp_path, monkeypatch):
    """The secrets of each server's part have to be there after a switch, too."""
    monkeypatch.setattr(insync_primaries, "FILE", tmp_path / "primaries.json")
    insync_primaries.write("production", "db-slave02", ["db"])
    assert insync_check.problems(*copies) == []
    insync_primaries.write("production", "web02")
    (found,) = insync_check.problems(*copies)
    assert found.startswith("web02 is the primary of production since the last switch")


def test_a_lock_that_pins_nothing_and_one_of_nobody_are_told(copies):
    releases = copies[1] / "releases"
    (releases / "web.txt").write_text("")
    (releases / "wep.txt").write_text("insync-web==1 --hash=sha256:00")
    first, second = insync_check.problems(*copies)
    assert first == "releases/web.txt: no requirements with == and hashes; see docs/web.md"
    assert second.startswith("releases/wep.txt: nothing needs it; what is needed: ")
    for lock in releases.iterdir():
        lock.unlink()
    assert insync_check.problems(*copies) == [], "a fleet without an index has no lock yet"


def test_settings_of_a_role_that_nobody_plays_are_told(copies):
    settings = copies[1] / "settings.yaml"
    settings.write_text("web: {apps: {}}\nweb_bl: {acme: {}}\n")
    assert insync_check.problems(*copies) == ["settings.yaml: there is no role 'web_bl'; did you mean 'web_lb'?"]
    settings.write_text("web: [apps]\n")
    assert insync_check.problems(*copies) == ["settings.yaml: web: ['apps'] is not a mapping, as what it replaces is"]


def test_a_missing_certificate_is_told(copies):
    site = copies[1]
    (site / "tls" / "db.crt").unlink()
    found = insync_check.problems(*copies)
    assert found == [f"tls/db.crt: no such file in the site folder ({site}); 'bootstrap/certificates {site}' makes it"]


def test_repositories_that_cannot_be_served_are_told(copies):
    (copies[1] / "hg.yaml").write_text("repositories: {website: {read: ['*'], push: [], keys: {}}}")
    assert insync_check.problems(*copies) == [
        "hg.yaml: website.read: '*' is not a name of a user (a-z, 0-9 and '-')",
    ]


ROLES = sorted(path.name for path in (ROOT / "salt" / "role").iterdir() if path.name != "base")
# Who else needs the role, as the first line says that refuses to let it go.
NEEDED = {
    "beanstalkd": "services.yaml: beanstalkd.clients: no server plays 'beanstalkd' for web, mailer, periodic_mailer of",
    "conf_server": "services.yaml: conf-server.clients: no server plays 'conf_server' for web, license, mailer,",
    "hg_server": "settings.yaml: ci.ci.engine: buildbot reads repositories, and no server plays 'hg_server'",
    "license": "services.yaml: license-blue.clients: no server plays 'license' for web_lb of production,",
    "mail_sink": "pillar/environment/staging.sls: conf.namespaces.mailer for staging: smtp.password: there is no",
    "mysql_primary": "hosts.yaml: db-slave02.roles: replicas in production need exactly one server that plays",
    "pypi_server": "services.yaml: pypi.clients: no server plays 'pypi_server' for web, license, mailer,",
    "redirects": "zones.yaml: redirects.0.host: ct1 does not play 'redirects'",
    "redis": "services.yaml: redis.clients: no server plays 'redis' for web, periodic_mailer of",
    "salt_master": "hosts.yaml: no server's roles: exactly one server must play 'salt_master'",
    "sentry": "pillar/role/conf_server.sls: conf.namespaces.web for ct1: sentry.key: there is no secret sentry:web_key",
    "ssh_gateway": "hosts.yaml: no server's roles: exactly one server must play 'ssh_gateway'",
    "web_lb": "hosts.yaml: staging.roles: 'preview' guards what 'web_lb' offers, which it does not play;",
    "web": "services.yaml: web-blue.clients: no server plays 'web' for web_lb of production,",
}


def edit(checkout, name, change):
    """Let ``change`` change what the file ``name`` of the pillar says."""
    path = checkout / "pillar" / name
    data = yaml.safe_load(path.read_text())
    change(data)
    path.write_text(yaml.safe_dump(data, sort_keys=False))


def retire(checkout, role, listed=True):
    """Let every server leave ``role``; with ``listed``, under `retired`."""

    def change(hosts):
        for host in hosts.values():
            left = {*host.pop("retired", []), *host["roles"]} & {role}
            host["roles"] = [one for one in host["roles"] if one != role]
            if left and listed:
                host["retired"] = [role]

    edit(checkout, "inventory/hosts.yaml", change)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_leaves_its_last_server_by_one_edit_unless_somebody_needs_it(copies, role):
    checkout = copies[0]
    for listed in (True, False):
        retire(checkout, role, listed)
        found = insync_check.problems(*copies)
        if listed and not (checkout / "salt" / "role" / role / "absent.sls").exists():
            assert any(f"role '{role}' has no salt/role/{role}/absent.sls" in line for line in found)
        elif role in NEEDED:
            assert found and found[0].startswith(NEEDED[role]), found
        else:
            assert found == []
    inventory = insync_inventory.load(checkout / "pillar" / "inventory")
    if role not in ("salt_master", "ssh_gateway"):
        assert shown(inventory, role) == []


def shown(inventory, role):
    """The services of ``role``, and their names, in what servers and operators are told of the inventory."""
    services = [name for name, one in inventory["services"].items() if one["role"] == role]
    slices = [insync_inventory.slice_for(inventory, host) for host in inventory["hosts"]]
    told = {rule["service"] for part in slices for rule in part["firewall"]["allow"]}
    told |= {name for part in slices for key in ("endpoints", "public_names") for name in part[key]}
    told |= {one["service"] for part in slices for one in part["certificates"]}
    told |= {service for _, _, service in insync_inventory.flows(inventory)}
    page = insync_fleet_page.pages(inventory)[insync_fleet_page.PAGE]
    table = page.partition("## Services\n")[2].partition("\n## ")[0].splitlines()
    rows = [line for line in table if line.startswith(tuple(f"| `{name}` |" for name in services))]
    assert len(rows) == len(services) and all("| nobody |" in row for row in rows)
    return sorted(told & set(services))


def test_a_name_of_a_service_that_is_gone_may_lead_elsewhere(copies):
    checkout = copies[0]
    redirect = {"name": "wiki.insynchq.com", "to": "https://www.insynchq.com", "host": "ct1", "target_source": "guess"}
    edit(checkout, "inventory/zones.yaml", lambda zones: zones["redirects"].append(redirect))
    assert insync_check.problems(*copies) == [
        "zones.yaml: redirects.4.name: 'wiki.insynchq.com' is taken by services.yaml: wiki-https.names.0"
    ]
    retire(checkout, "wiki")
    assert insync_check.problems(*copies) == []


def test_a_misspelt_role_is_found_all_the_same(copies):
    checkout, site = copies
    retire(checkout, "wiki")
    (site / "secrets" / "wikki.yaml").write_text("a: b")
    (site / "releases" / "mrkrr.txt").write_text("insync-mrkr==1 --hash=sha256:00")
    first, second = insync_check.problems(*copies)
    assert first.startswith("secrets/wikki.yaml: nothing needs it") and second.startswith("releases/mrkrr.txt: ")
    edit(checkout, "inventory/hosts.yaml", lambda hosts: hosts["wiki"].update(retired=["wikki"]))
    assert insync_check.problems(*copies) == [
        "hosts.yaml: wiki.retired: role 'wikki' has no salt/role/wikki/absent.sls, which says what leaving it means; "
        "did you mean 'wiki'?"
    ]


MAILER = "pillar/environment/staging.sls: conf.namespaces.mailer.smtp for staging: has to say 'connect: mail-sink'"
ERRORS = "pillar/environment/staging.sls: conf.namespaces.web.sentry.environment for staging: its errors would be taken"
ALONE = "hosts.yaml: environment staging: 'mail_sink' gets no mail of web, mailer without a 'conf_server' of the"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda tunables: tunables["conf"]["namespaces"].pop("mailer"), [MAILER]),
        (lambda tunables: tunables["conf"]["namespaces"]["mailer"]["smtp"].update(connect="mysql"), [MAILER]),
        (lambda tunables: tunables["conf"]["namespaces"]["web"].pop("sentry"), [ERRORS]),
        (lambda tunables: tunables.pop("conf"), [MAILER, ERRORS]),
    ],
)
def test_an_environment_with_a_keeper_of_mail_tells_its_applications_so(copies, change, told):
    edit(copies[0], "environment/staging.sls", change)
    found = insync_check.problems(*copies)
    assert len(found) == len(told) and all(map(str.startswith, found, told)), found


def test_an_environment_without_its_tunables_is_told(copies):
    (copies[0] / "pillar" / "environment" / "staging.sls").unlink()
    assert insync_check.problems(*copies) == [
        "pillar/environment/staging.sls: is missing; docs/environments.md tells what it says"
    ]


@pytest.mark.parametrize("said", ["text", None, {"smtp": "localhost"}])
def test_settings_that_are_no_mapping_are_told(copies, said):
    change = {"conf": {"namespaces": {"mailer": said, "web": {"sentry": {"environment": "staging"}}}}}
    edit(copies[0], "environment/staging.sls", lambda tunables: tunables.update(change))
    found = insync_check.problems(*copies)
    assert [line.startswith("pillar/environment/staging.sls: conf.namespaces.mailer") for line in found] == [True], (
        found
    )


def test_an_environment_with_a_keeper_of_mail_needs_its_own_conf_server(copies):
    edit(copies[0], "inventory/hosts.yaml", lambda hosts: hosts["staging"]["roles"].remove("conf_server"))
    assert [line.startswith(ALONE) for line in insync_check.problems(*copies)] == [True]


def test_a_mailer_is_where_the_keeper_of_its_mail_is(copies):
    def move(hosts):
        hosts["staging"]["roles"].remove("mail_sink")
        hosts["dev02"].update(environment="staging", roles=["mail_sink"])

    edit(copies[0], "inventory/hosts.yaml", move)
    told = "hosts.yaml: staging.roles: 'mailer' trusts a 'mail_sink' of its own server only; let it play both"
    checkout, site = copies
    inventory = insync_inventory.load(checkout / "pillar" / "inventory")
    assert insync_check_roles.problems([str(checkout / "pillar"), str(site)], inventory) == [told]


def test_a_service_that_an_application_is_sent_to_has_to_be_there(copies):
    web = {"sentry": {"connect": "sentyr"}, "mysql": {"password": {"secret": "mysql_primary:wep"}}}
    for name, said in web.items():
        settings = yaml.safe_load((copies[1] / "settings.yaml").read_text())
        settings["conf_server"].setdefault("conf", {}).setdefault("namespaces", {})["web"] = {name: said}
        (copies[1] / "settings.yaml").write_text(yaml.safe_dump(settings))
        found = insync_check.problems(*copies)
        assert len(found) == 3, "each conf server"
        assert found[0].startswith("pillar/role/conf_server.sls: conf.namespaces.web for ct1: ")


@pytest.mark.parametrize(
    ("ci", "told"),
    [
        ({"engine": "none"}, []),
        ({"engine": "drone", "drone": {"url": "https://files.example/drone", "sha256": "0" * 64}}, []),
        ({"engine": "drone"}, ["drone.url: is missing", "drone.sha256: is no checksum"]),
        (
            {"engine": "drone", "drone": {"url": "https://files.example/drone", "sha256": "0" * 63}},
            ["drone.sha256: is no"],
        ),
        ({"engine": "jenkins"}, ["engine: 'jenkins' is not one of none, buildbot, drone"]),
    ],
)
def test_ci_is_told_what_its_engine_needs(copies, ci, told):
    path = copies[1] / "settings.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["ci"]["ci"].update(ci)
    path.write_text(yaml.safe_dump(settings))
    found = insync_check.problems(*copies)
    assert len(found) == len(told)
    assert all(line.startswith(f"settings.yaml: ci.ci.{start}") for line, start in zip(found, told, strict=True)), found


@pytest.mark.parametrize(
    ("role", "ci", "told"),
    [
        ("ci", {}, []),
        ("ci", {"engine": "none"}, []),
        ("ci_integration", {}, []),
        ("ci_integration", {"projects": {"x": {"publish": "root/staging"}, "y": {}}}, ["projects.x.publish: 'ci_int"]),
        ("ci_integration", {"engine": "none", "projects": {"x": {"publish": "a/b"}}}, ["projects.x.publish: 'ci_int"]),
        ("ci_integration", {"projects": {"x": None}}, []),
        (
            "ci_integration",
            {"projects": {"x": {"publish": "a/b"}}, "secrets": {"upload": "pypi_server:ci_password"}},
            ["secrets.upload: 'ci_integration' may not publish", "projects.x.publish: 'ci_int"],
        ),
    ],
)
def test_what_runs_tests_only_is_told_that_it_may_not_publish(copies, role, ci, told):
    settings(copies[1], role, "ci", ci)
    starts(insync_check.problems(*copies), f"settings.yaml: {role}.ci.", told)


@pytest.mark.parametrize("index", ["stable", "nosuch"])
def test_ci_publishes_only_where_its_user_may_upload(copies, index):
    settings(copies[1], "ci", "ci", {"projects": {"example": {"publish": index}}})
    said = f"'ci' may not upload to '{index}'; see devpi.indexes in pillar/role/pypi_server.sls"
    assert insync_check.problems(*copies) == [f"settings.yaml: ci.ci.projects.example.publish: {said}"]


def test_ci_without_a_password_to_publish_with_is_told(copies):
    edit(copies[0], "role/ci.sls", lambda tunables: tunables["ci"]["secrets"].pop("upload"))
    found = insync_check.problems(*copies)
    assert found == ["settings.yaml: ci.ci.projects.example.publish: without ci.ci.secrets.upload nothing can be"]


@pytest.mark.parametrize("package", ["sync-tools", "insync", None])
def test_what_is_published_has_a_name_of_ours(copies, package):
    settings(copies[1], "ci", "ci", {"projects": {"example": {"package": package}}})
    (found,) = insync_check.problems(*copies)
    said = "is no name of ours for the package index; those begin with insync-"
    assert found == f"pillar of drone: ci.projects.example.package: '{package}' {said}"


def test_what_is_only_built_may_have_any_name(copies):
    settings(copies[1], "ci_integration", "ci", {"projects": {"example": {"package": "sync-tools"}}})
    assert insync_check.problems(*copies) == []


def test_what_servers_install_has_a_name_of_ours(copies):
    settings(copies[1], "web", "apps", {"web": {"package": "Insync_Web2"}})
    assert insync_check.problems(*copies) == []
    settings(copies[1], "web", "apps", {"web": {"package": "flask"}})
    found = insync_check.problems(*copies)
    assert found and all(": apps.web.package: 'flask' is no name of ours" in line for line in found)
    assert any(line.startswith("pillar of web02: ") for line in found)
    settings(copies[1], "pypi_server", "devpi", {"reserved_prefixes": ["FLASK", "insync."]})
    assert insync_check.problems(*copies) == []


RELAY = "misago.mail.{}: is missing; registration 'user' sends a link through the relay"


@pytest.mark.parametrize(
    ("key", "values", "told"),
    [
        ("forum", {"engine": "none"}, []),
        ("forum", {"engine": "discourse"}, ["forum.engine: 'discourse' is not one of none, misago"]),
        ("misago", {"registration": "open"}, ["misago.registration: 'open' is not one of none, user, admin, closed"]),
        ("misago", {"mail": {"host": ""}}, [RELAY.format("host")]),
        ("misago", {"mail": {"user": ""}}, [RELAY.format("user")]),
        ("misago", {"mail": {"host": "", "user": ""}}, [RELAY.format("host"), RELAY.format("user")]),
        *(("misago", {"registration": one, "mail": {"host": ""}}, []) for one in ("none", "admin", "closed")),
    ],
)
def test_a_forum_is_told_what_its_engine_and_registration_need(copies, key, values, told):
    settings(copies[1], "forum", key, values)
    starts(insync_check.problems(*copies), "settings.yaml: forum.", told)


def settings(site, role, key, values):
    """Let the site say ``values`` of what is below ``key`` of ``role``."""
    path = site / "settings.yaml"
    said = yaml.safe_load(path.read_text())
    salt.utils.dictupdate.update(said, {role: {key: values}})
    path.write_text(yaml.safe_dump(said))


def starts(found, where, told):
    assert len(found) == len(told), found
    assert all(line.startswith(where + start) for line, start in zip(found, told, strict=True)), found


def test_errors_may_go_elsewhere_as_its_page_tells(copies):
    checkout, site = copies
    hosted = {"host": "errors.example", "port": 443, "project": "7", "environment": "production"}
    hosted["key"] = {"secret": "conf_server:sentry_key"}
    edit(checkout, "role/conf_server.sls", lambda role: role["conf"]["namespaces"]["web"].update(sentry=hosted))
    edit(checkout, "secrets/required.yaml", lambda roles: roles["conf_server"].update(sentry_key="of the hosted one"))
    for file in site.glob("secrets/**/conf_server.yaml"):
        file.write_text(f"{file.read_text()}sentry_key: x\n")
    retire(checkout, "sentry")
    assert insync_check.problems(*copies) == []
