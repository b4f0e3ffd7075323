"""Who may enter: what the site folder may say of a person, and what not."""

import insync_operators
import insync_site
import pytest
import yaml

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEb"
ALICE = {"uid": 2001, "groups": ["ops"], "keys": [f"{KEY} alice@desk"]}


@pytest.fixture
def load(tmp_path):
    def _load(operators):
        (tmp_path / "operators.yaml").write_text(yaml.safe_dump({"operators": operators}))
        return insync_operators.load([str(tmp_path)])

    return _load


def test_people_are_returned_as_declared(load):
    bob = {"uid": 2002, "groups": [], "keys": [KEY, "sk-ssh-ed25519@openssh.com AAAAGnNr"]}
    assert load({"alice": ALICE, "bob": bob}) == {"alice": ALICE, "bob": bob}


@pytest.mark.parametrize(
    "operators, message",
    [
        ({}, "no operators; this would lock everybody out"),
        (None, "no operators; this would lock everybody out"),
        ({"Alice": ALICE}, "'Alice' is not a user name"),
        ({"a b": ALICE}, "'a b' is not a user name"),
        ({7: ALICE}, "'7' is not a user name"),
        ({"alice": None}, "alice: expected exactly the keys uid, groups and keys"),
        ({"alice": {**ALICE, "shell": "/bin/zsh"}}, "alice: expected exactly the keys uid, groups and keys"),
        ({"alice": {**ALICE, "uid": 0}}, "alice.uid: 0 is not between 2001 and 2999"),
        ({"alice": {**ALICE, "uid": 3000}}, "alice.uid: 3000 is not between 2001 and 2999"),
        ({"alice": {**ALICE, "uid": "2001"}}, "alice.uid: 2001 is not between"),
        ({"alice": ALICE, "bob": ALICE}, "bob.uid: 2001 is already alice's"),
        ({"alice": {**ALICE, "groups": ["sudo"]}}, "alice.groups: 'sudo' is not one of ops, admin"),
        ({"alice": {**ALICE, "keys": []}}, "alice.keys: no key; to remove a person remove the entry"),
        ({"alice": {**ALICE, "keys": ["ssh-dss AAAA"]}}, "'ssh-dss AAAA...' is not an OpenSSH public key"),
        ({"alice": {**ALICE, "keys": [f'command="sh" {KEY}']}}, "is not an OpenSSH public key"),
        ({"alice": {**ALICE, "keys": [f"{KEY}\n{KEY}"]}}, "is not an OpenSSH public key"),
        ({"root": ALICE}, "'root' is an account of the system, not a person's"),
        ({"alice": {**ALICE, "groups": "ops"}}, "alice.groups: expected a list"),
        ({"alice": {**ALICE, "groups": None}}, "alice.groups: expected a list"),
        ({"alice": {**ALICE, "keys": KEY}}, "alice.keys: expected a list"),
        ({"alice": {**ALICE, "uid": True}}, "alice.uid: True is not between"),
    ],
)
def test_what_is_wrong_names_the_person_and_the_key(load, operators, message):
    with pytest.raises(insync_site.SiteError) as caught:
        load(operators)
    assert str(caught.value).startswith("operators.yaml: ")
    assert message in str(caught.value)
