"""Accounts of MariaDB: what may be declared, and how the server's words are read."""

import insync_mysql
import pytest

WEB = {"hosts": ["10.0.0.1"], "key": "db:web", "grants": {"insync": ["SELECT"]}}
SECRETS = {"db": {"web": "x"}}


def test_a_password_is_hashed_as_the_server_does_it():
    assert insync_mysql.password_hash("x") == "*B69027D44F6E5EDC07F1AEAD1477967B16F28227"


def test_every_address_of_an_account_is_one_of_its_own():
    grants = {"*": ["RELOAD"], "insync_mail": ["SELECT"]}
    accounts = {"web": {**WEB, "hosts": ["10.0.0.1", "fd00::1"], "grants": grants}}
    found = insync_mysql.declared(accounts, SECRETS)
    assert list(found) == [("web", "10.0.0.1"), ("web", "fd00::1")]
    assert found["web", "fd00::1"]["grants"] == {"*.*": {"RELOAD"}, r"`insync\_mail`.*": {"SELECT"}}


@pytest.mark.parametrize(
    "user, wrong, message",
    [
        ("We b", {}, "'We b' is not a user name"),
        ("root'--", {}, "'root'--' is not a user name"),
        ("web", {"hosts": ["%"]}, "web: '%' is not an address"),
        ("web", {"hosts": ["10.0.0._"]}, "web: '10.0.0._' is not an address"),
        ("web", {"hosts": ["web02"]}, "web: 'web02' is not an address"),
        ("web", {"grants": {"in`sync": ["SELECT"]}}, "web: 'in`sync' is not a name of a database"),
        ("web", {"grants": {"%": ["SELECT"]}}, "web: '%' is not a name of a database"),
        ("web", {"grants": {"insync": ["select"]}}, "web: 'select' is not a privilege"),
        ("web", {"grants": {"insync": ["SELECT ON *.* TO x; --"]}}, "is not a privilege"),
        ("web", {"key": "db:other"}, "web: the secret db:other is missing, empty, or has a line break in it"),
        ("web", {"key": "other:web"}, "web: the secret other:web is missing"),
        ("web", {"key": ""}, "web: the secret  is missing"),
    ],
)
def test_what_cannot_be_declared(user, wrong, message):
    with pytest.raises(insync_mysql.DeclarationError, match="^.*" + message.replace("*", r"\*").replace(".", r"\.")):
        insync_mysql.declared({user: {**WEB, **wrong}}, SECRETS)


@pytest.mark.parametrize(
    "line, expected",
    [
        ("GRANT USAGE ON *.* TO {who} IDENTIFIED BY PASSWORD '*0123' REQUIRE SSL", {}),
        ("GRANT SELECT, INSERT ON `insync`.* TO {who}", {"`insync`.*": {"SELECT", "INSERT"}}),
        (
            "GRANT DELETE HISTORY ON *.* TO {who} REQUIRE SSL WITH GRANT OPTION MAX_QUERIES_PER_HOUR 5",
            {"*.*": {"DELETE HISTORY", "GRANT OPTION"}},
        ),
        ("GRANT RELOAD ON *.* TO {who} WITH MAX_QUERIES_PER_HOUR 5", {"*.*": {"RELOAD"}}),
        (
            "GRANT SELECT (`o``dd, (`, `id`), UPDATE (`id`) ON `a`.`t` TO {who}",
            {"`a`.`t`": {"SELECT (`o``dd, (`, `id`)", "UPDATE (`id`)"}},
        ),
        ("GRANT SELECT ON `a ON b TO c`.* TO {who}", {"`a ON b TO c`.*": {"SELECT"}}),
        ("GRANT EXECUTE ON PROCEDURE `a`.`p` TO {who}", {"PROCEDURE `a`.`p`": {"EXECUTE"}}),
        ("GRANT `role` TO {who} WITH ADMIN OPTION", {"": {"`role`"}}),
        ("GRANT PROXY ON ``@`%` TO {who} WITH GRANT OPTION", {"``@`%`": {"PROXY"}}),
        ("SET DEFAULT ROLE `role` FOR {who}", {}),
    ],
)
@pytest.mark.parametrize("who", ["`web`@`10.0.0.1`", "PUBLIC"])
def test_what_show_grants_says(line, expected, who):
    assert insync_mysql.grants([line.format(who=who)], who) == expected


def test_the_servers_own_accounts_stay():
    found = {who: {"login": {}, "grants": {"*.*": {"ALL PRIVILEGES"}}} for who in insync_mysql.SYSTEM}
    assert insync_mysql.plan_accounts({}, found) == ({}, [])
    stranger = {("root", "%"): {"login": {}, "grants": {}}}
    changes, statements = insync_mysql.plan_accounts({}, {**found, **stranger})
    assert list(changes) == ["root@%"]
    assert statements[0] == "DROP USER `root`@`%`"


def test_names_are_quoted():
    assert insync_mysql.account("a`b", "%") == "`a``b`@`%`"
