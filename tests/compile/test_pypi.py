"""Who uploads to the package index, each with a password of their own."""

import json

import pytest

from lab.compile import CompileError, compile_host
from tests.compile.test_redirects import by_id, edit
from tests.compile.test_refusals import own_checkout  # noqa: F401  fixture


def declare(checkout, uploaders, stable=("uploader",)):
    """Let ``uploaders`` (dict) be those who upload, all of them to staging and some to stable."""

    def change(tunables):
        devpi = tunables["devpi"]
        devpi["uploaders"] = uploaders
        devpi["indexes"]["stable"]["uploaders"] = list(stable)
        devpi["indexes"]["staging"]["uploaders"] = list(uploaders)

    edit(checkout / "pillar" / "role" / "pypi_server.sls", change)


def test_those_who_upload_are_declared_with_their_passwords(compiled):
    states = by_id(compiled["dev"]["low"])
    passwords = {user: f"pypi_server:{user}_password" for user in ("root", "ci", "uploader")}
    assert states["devpi-users"]["passwords"] == {**passwords, "insync": None}
    for index, uploaders in {"stable": ["uploader"], "staging": ["ci", "uploader"]}.items():
        assert states[f"devpi-index-insync/{index}"]["settings"]["acl_upload"] == uploaders
    ci = compiled["drone"]["pillar"]["ci"]
    assert (ci["upload_user"], ci["secrets"]["upload"]) == ("ci", passwords["ci"])
    assert json.dumps(compiled["drone"]["pillar"]["secrets"]).count("devpi") == 1, "and no other one's"


def test_who_is_struck_off_is_in_neither_list(own_checkout, site):  # noqa: F811
    declare(own_checkout, {"uploader": "pypi_server:uploader_password"})
    states = by_id(compile_host(own_checkout, site, "dev")["low"])
    assert sorted(states["devpi-users"]["passwords"]) == ["insync", "root", "uploader"]
    for index in ("stable", "staging"):
        assert states[f"devpi-index-insync/{index}"]["settings"]["acl_upload"] == ["uploader"]


@pytest.mark.parametrize(
    ("uploaders", "message"),
    [
        ({"root": "pypi_server:ci_password"}, "devpi.uploaders: root cannot be one"),
        ({"insync": "pypi_server:ci_password"}, "devpi.uploaders: insync cannot be one"),
        ({"alice": "pypi_server:alice_password"}, "alice: there is no secret pypi_server:alice_password"),
        ({"alice": "mailer:alice_password"}, "alice: there is no secret mailer:alice_password"),
    ],
)
def test_who_cannot_upload(own_checkout, site, uploaders, message):  # noqa: F811
    declare(own_checkout, uploaders)
    with pytest.raises(CompileError, match=message):
        compile_host(own_checkout, site, "dev")


def test_where_nobody_uploads_and_who_uploads_nowhere(own_checkout, site):  # noqa: F811
    ci, uploader = ({user: f"pypi_server:{user}_password"} for user in ("ci", "uploader"))
    declare(own_checkout, ci)
    with pytest.raises(CompileError, match="devpi.indexes: uploader is none of devpi.uploaders"):
        compile_host(own_checkout, site, "dev")

    def forget(tunables):
        tunables["devpi"]["indexes"]["staging"]["uploaders"] = []

    declare(own_checkout, ci | uploader)
    edit(own_checkout / "pillar" / "role" / "pypi_server.sls", forget)
    with pytest.raises(CompileError, match="devpi.uploaders: ci uploads to no index"):
        compile_host(own_checkout, site, "dev")
