"""Which first releases a server gets."""

import insync_releases
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
    assert insync_releases.for_roles(roots, ["base", "clock", "web", "no_tunables"]) == {"web": LOCK}
    assert insync_releases.for_roles(roots, ["clock"]) == {}
    assert insync_releases.for_roles(roots, ["mailer"]) == {}, "its lock is still to be made"


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
