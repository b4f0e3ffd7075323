"""Which first releases a server gets."""

import insync_releases
import insync_serving
import insync_site
import pytest
import yaml

LOCK = "insync-web==1.0.0 \\\n    --hash=sha256:00\n"


@pytest.fixture
def roots(tmp_path):
    for name in ("pillar/role", "site/releases"):
        (tmp_path / name).mkdir(parents=True)
    roles = {"web": {"apps": {"web": {}}}, "mailer": {"apps": {"mailer": {}}, "other": 1}, "clock": {"clock": {}}}
    for role, tunables in roles.items():
        (tmp_path / "pillar" / "role" / f"{role}.sls").write_text(yaml.safe_dump(tunables))
    return [str(tmp_path / "pillar"), str(tmp_path / "site")]


def store(roots, app, text):
    with open(f"{roots[1]}/releases/{app}.txt", "w", encoding="utf-8") as file:
        file.write(text)


def test_a_server_gets_the_locks_of_its_applications(roots):
    store(roots, "web", LOCK)
    first = {"lock": LOCK, "slot": ""}
    assert insync_releases.for_roles(roots, ["base", "clock", "web", "no_tunables"]) == {"web": first}
    assert insync_releases.for_roles(roots, ["clock"]) == {}
    assert insync_releases.for_roles(roots, ["mailer"]) == {}, "its lock is still to be made"


def test_a_blank_balancer_knows_which_slots_serve(tmp_path):
    names = ("web-blue", "web-green", "api-blue")
    services = {name: {"slot_of": name.partition("-")[0], "role": "web"} for name in names}
    inventory = {"services": services, "hosts": {}}
    (tmp_path / "staging-web").mkdir()
    insync_serving.write("staging-web", "green", "0d2c", LOCK, records=tmp_path)
    assert insync_releases.slots(inventory, "staging", records=tmp_path) == {"web": "green"}
    assert insync_releases.slots(inventory, "production", records=tmp_path) == {}


def test_a_blank_server_gets_what_its_pool_serves(roots, tmp_path):
    store(roots, "web", LOCK)
    served = {"lock": LOCK.replace("1.0.0", "1.1.0"), "slot": "green"}
    for app in ("web", "mailer"):
        (tmp_path / app).mkdir()
    insync_serving.write("web", release="0d2c", records=tmp_path, **served)
    assert insync_releases.for_roles(roots, ["web", "mailer"], records=tmp_path) == {"web": served}
    (tmp_path / "web" / "serving.json").write_text("{")
    with pytest.raises(insync_site.SiteError, match="what web serves cannot be read"):
        insync_releases.for_roles(roots, ["web"], records=tmp_path)


def test_what_has_one_slot_is_told_with_its_servers(roots):
    inventory = {
        "hosts": {"a": {"roles": ["web", "mailer"]}, "b": {"roles": ["mailer", "clock"]}},
        "services": {"web-blue": {"slot_of": "web", "role": "web"}},
    }
    assert insync_releases.single(roots, inventory) == {"mailer": ["a", "b"]}


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "releases/web.txt: no requirements with == and hashes"),
        ("insync-web\n", "releases/web.txt: no requirements with == and hashes"),
        ("insync-web==1.0.0\n", "releases/web.txt: no requirements with == and hashes"),
    ],
)
def test_a_lock_that_pins_nothing_is_refused(roots, text, message):
    store(roots, "web", text)
    with pytest.raises(insync_site.SiteError) as caught:
        insync_releases.for_roles(roots, ["web"])
    assert str(caught.value).startswith(message)
