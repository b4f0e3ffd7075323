"""What differs between devpi's users and indexes and the declared ones."""

import insync_devpi
import pytest

PASSWORDS = {"root": "r", "uploader": "u", "insync": None}
THERE = {"root": ["pypi"], "uploader": [], "insync": ["stable"]}


def accepted(user, password):
    return PASSWORDS[user] == password


def refused(user, password):
    assert password is not None, "nobody logs in as such a user"
    return False


def test_a_secret_is_found_by_its_name():
    assert insync_devpi.secret("pypi_server:root", {"pypi_server": {"root": "r"}}) == "r"


@pytest.mark.parametrize("secrets", [{}, {"pypi_server": {}}, {"pypi_server": {"root": ""}}, {"web": {"root": "r"}}])
def test_a_secret_that_is_missing(secrets):
    with pytest.raises(insync_devpi.DevpiError, match="^there is no secret pypi_server:root; see pillar/secrets/$"):
        insync_devpi.secret("pypi_server:root", secrets)


@pytest.mark.parametrize(
    "there, accepts, changes",
    [
        (THERE, accepted, {}),
        ({"root": []}, accepted, dict.fromkeys(["uploader", "insync"], {"old": "absent", "new": "present"})),
        (
            THERE,
            refused,
            dict.fromkeys(["root", "uploader"], {"old": "another password", "new": "the declared password"}),
        ),
        ({**THERE, "mallory": []}, accepted, {"mallory": {"old": "present", "new": "absent"}}),
    ],
    ids=["same", "new", "other passwords", "one too many"],
)
def test_users(there, accepts, changes):
    assert insync_devpi.user_changes(there, PASSWORDS, accepts) == changes


def test_a_user_with_indexes_is_not_removed():
    with pytest.raises(insync_devpi.DevpiError, match="mallory is not declared, but has mallory/a, mallory/b"):
        insync_devpi.user_changes({**THERE, "mallory": ["a", "b"]}, PASSWORDS, accepted)


DECLARED = {"type": "stage", "volatile": False, "bases": ["root/pypi"], "acl_upload": ["uploader"]}


@pytest.mark.parametrize(
    "there, changes",
    [
        (DECLARED, {}),
        (None, {key: {"old": None, "new": value} for key, value in DECLARED.items()}),
        ({**DECLARED, "volatile": True}, {"volatile": {"old": True, "new": False}}),
        ({**DECLARED, "title": "x"}, {"title": {"old": "x", "new": None}}),
        ({**DECLARED, "bases": []}, {"bases": {"old": [], "new": ["root/pypi"]}}),
    ],
    ids=["same", "new", "other value", "one too many", "empty list"],
)
def test_indexes(there, changes):
    assert insync_devpi.index_changes(there, DECLARED) == changes


def test_an_index_of_another_type():
    with pytest.raises(insync_devpi.DevpiError, match="it is a mirror, and devpi cannot turn it into a stage"):
        insync_devpi.index_changes({"type": "mirror"}, DECLARED)


def test_where_the_public_index_is(tmp_path):
    code = tmp_path / "lib" / "python3.11" / "site-packages" / "devpi_server" / "main.py"
    code.parent.mkdir(parents=True)
    code.write_text("import os\n_pypi_ixconfig_default = {'type': 'mirror', 'mirror_url': 'https://public.test/'}\n")
    assert insync_devpi.public_mirror(tmp_path) == {"type": "mirror", "mirror_url": "https://public.test/"}
    code.write_text("other = {}\n")
    with pytest.raises(insync_devpi.DevpiError, match="declare devpi.upstream in pillar"):
        insync_devpi.public_mirror(tmp_path)
