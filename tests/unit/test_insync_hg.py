"""The Mercurial server's repositories and passwords: what the site folder may say of them, and what not."""

import pathlib
import subprocess

import insync_hg
import insync_site
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEb"
BUILD = {"key": f"{KEY} build@ci", "push": True}
WEBSITE = {"read": ["bob"], "push": ["alice"], "keys": {"build": BUILD}}


@pytest.fixture
def load(tmp_path):
    def _load(repositories):
        (tmp_path / "hg.yaml").write_text(yaml.safe_dump({"repositories": repositories}, sort_keys=False))
        return insync_hg.load([str(tmp_path)])

    return _load


def test_repositories_are_returned_as_declared(load):
    declared = {"website": WEBSITE, "Client_2.x": {"read": [], "push": [], "keys": {}}}
    assert load(declared) == declared
    assert load({}) == {}, "a server without repositories yet"


@pytest.mark.parametrize(
    "repositories, message",
    [
        (None, "repositories: expected a mapping"),
        (["website"], "repositories: expected a mapping"),
        ({"../etc": WEBSITE}, "'../etc' is not a name of a repository"),
        ({".hg": WEBSITE}, "'.hg' is not a name of a repository"),
        ({"a b": WEBSITE}, "'a b' is not a name of a repository"),
        ({7: {}}, "7: expected exactly the keys read, push and keys"),
        ({"website": None}, "website: expected exactly the keys read, push and keys"),
        ({"website": {**WEBSITE, "owner": "x"}}, "website: expected exactly the keys read, push and keys"),
        ({"website": {**WEBSITE, "read": "bob"}}, "website.read: expected a list"),
        ({"website": {**WEBSITE, "push": None}}, "website.push: expected a list"),
        ({"website": {**WEBSITE, "read": ["*"]}}, "website.read: '*' is not a name of a user"),
        ({"website": {**WEBSITE, "push": ["alice, bob"]}}, "website.push: 'alice, bob' is not a name of a user"),
        ({"website": {**WEBSITE, "keys": [KEY]}}, "website.keys: expected a mapping"),
        ({"website": {**WEBSITE, "keys": {"a": KEY}}}, "website.keys.a: expected exactly the keys key and push"),
        ({"website": {**WEBSITE, "keys": {"a": {**BUILD, "push": 1}}}}, "website.keys.a.push: expected true or false"),
        (
            {"website": {**WEBSITE, "keys": {"a": {"key": f'x="y" {KEY}', "push": True}}}},
            "is not an OpenSSH public key",
        ),
        (
            {"website": {**WEBSITE, "keys": {"a": {"key": f"{KEY}\n{KEY}", "push": True}}}},
            "is not an OpenSSH public key",
        ),
        (
            {"website": WEBSITE, "client": WEBSITE},
            "client.keys.build: a key opens one repository, this one website.keys",
        ),
    ],
)
def test_what_is_wrong_names_the_repository(load, repositories, message):
    with pytest.raises(insync_site.SiteError) as caught:
        load(repositories)
    assert str(caught.value).startswith("hg.yaml: ")
    assert message in str(caught.value)


BCRYPT = "$2" + "b$09$" + "iUlAWpWlhzymJvO1DjkNwOreoFhkI5WcosaRPCF5rlsf/fn2sggwq"

WEAK = ["bob: neither a bcrypt hash with a cost of 8 to 11 nor a yescrypt hash"]


@pytest.mark.parametrize(
    "text, problems",
    [
        (f"alice:{BCRYPT}\nbob:{BCRYPT}\n", []),
        ("", []),
        (f"alice:$y$j9T$abc${'x' * 43}", []),
        (f"Alice:{BCRYPT}", ["line 1 does not begin with a user's name and a colon"]),
        (f"alice:{BCRYPT}\n\n", ["line 2 does not begin with a user's name and a colon"]),
        (BCRYPT, ["line 1 does not begin with a user's name and a colon"]),
        (f"bob:{BCRYPT}\nbob:{BCRYPT}", ["bob: is there twice"]),
        ("bob:hunter2", WEAK),
        ("bob:{PLAIN}hunter2", WEAK),
        ("bob:$apr1$abc$hunter2", WEAK),
        (f"bob:{BCRYPT.replace('$09', '$05')}", WEAK),
        (f"bob:{BCRYPT.replace('$09', '$15')}", WEAK),
    ],
)
def test_passwords_are_kept_as_nginx_can_check_them_and_nobody_can_guess(tmp_path, text, problems):
    (tmp_path / "passwords").write_text(text)
    script = ROOT / "salt" / "hg" / "files" / "check-passwords"
    done = subprocess.run([script, tmp_path / "passwords"], capture_output=True, text=True, check=False)
    assert done.returncode == (1 if problems else 0)
    assert [line for line in done.stderr.splitlines() if line] == problems
    assert "hunter2" not in done.stderr
