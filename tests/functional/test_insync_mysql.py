"""Databases and accounts of a real MariaDB, which this file starts in a folder of its own, on a socket only."""

import pathlib
import re
import shutil
import subprocess
import time

import pymysql
import pytest
import salt.loader
from insync_inventory import hosts_with, load

from lab.compile import compile_host
from tests.functional.conftest import ROOT
from tests.functional.private import private_world

SERVER = ["/usr/sbin/mariadbd", "--no-defaults", "--user=root", "--innodb-buffer-pool-size=8M"]
# What is killed here loses nothing that the kernel has; a disk that the booting fleet keeps busy is not waited for.
SERVER += ["--debug-no-sync", "--innodb-flush-method=nosync"]
SYSTEM_TABLES = ("mysql_system_tables", "mysql_performance_tables", "mysql_system_tables_data")
DATABASES = ["insync", "insync_mail"]
ACCOUNTS = {
    "web": {"hosts": ["10.0.0.1", "10.0.0.2"], "key": "db:web", "grants": {"insync": ["SELECT", "INSERT"]}},
    "mailer": {"hosts": ["10.0.0.3"], "key": "db:mailer", "grants": {"insync_mail": ["SELECT"], "*": ["RELOAD"]}},
}
PASSWORDS = {"web": 'it\'s a "quoted" `ü` \\ %', "mailer": "plain"}
WEB = "web@10.0.0.1"


@pytest.fixture(scope="module")
def socket(tmp_path_factory):
    """Path of the socket of a new server."""
    folder = tmp_path_factory.mktemp("mariadb")
    data, path = folder / "data", folder / "socket"
    data.mkdir()
    scripts = [pathlib.Path(f"/usr/share/mysql/{name}.sql").read_text() for name in SYSTEM_TABLES]
    tables = "\n".join(["CREATE DATABASE mysql;", "USE mysql;", "SET @auth_root_socket = 'root';", *scripts])
    # One that starts removes the temporary tables of others from a folder that they share.
    server = [*SERVER, f"--datadir={data}", f"--tmpdir={data}", "--innodb-log-file-size=4M"]
    subprocess.run([*server, "--bootstrap"], input=tables, text=True, check=True, capture_output=True)
    command = [*server, f"--socket={path}", "--skip-networking", f"--pid-file={folder}/pid"]
    with open(folder / "log", "w") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            _wait(path, folder / "log")
            yield str(path)
        finally:
            server.kill()
    shutil.rmtree(folder)


def _wait(path, log):
    for _ in range(200):
        try:
            return connect(path).close()
        except pymysql.OperationalError:
            time.sleep(0.05)
    raise AssertionError(log.read_text()[-2000:])


def connect(path, user="root", password=""):
    # Without a TLS context, which takes longer than a test.
    return pymysql.connect(unix_socket=str(path), user=user, password=password, autocommit=True, ssl_disabled=True)


@pytest.fixture
def sql(socket):
    """Run SQL statements as root; the rows of the last one are returned."""
    with connect(socket) as connection:

        def _sql(*statements):
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return list(cursor.fetchall())

        yield _sql
        for user, host in _sql("SELECT User, Host FROM mysql.global_priv WHERE Host NOT IN ('localhost', '')"):
            _sql(f"DROP USER `{user}`@`{host}`")
        for name in {"insync", "insync_mail", "test", "other"} & {name for (name,) in _sql("SHOW DATABASES")}:
            _sql(f"DROP DATABASE `{name}`")
        _sql("CREATE OR REPLACE ROLE helper", "DROP ROLE helper", "GRANT SELECT ON test.* TO PUBLIC")
        _sql("REVOKE ALL PRIVILEGES, GRANT OPTION FROM PUBLIC")


@pytest.fixture(scope="module")
def loaded():
    return {}


@pytest.fixture
def state(request, loaded):
    """Call a state function out of Salt's loader; a loader for each test would take most of the time."""

    def _state(function, test, secrets=PASSWORDS, **arguments):
        known = test, str(secrets)
        if known not in loaded:
            opts = {**request.getfixturevalue("opts"), "test": test, "pillar": {"secrets": {"db": secrets}}}
            modules = request.getfixturevalue("modules")
            loaded[known] = salt.loader.states(opts, modules, salt.loader.utils(opts), None)
        return loaded[known][f"insync_mysql.{function}"](**arguments)

    return _state


@pytest.fixture
def accounts(state, socket, sql):
    """Apply the state of the accounts; what it reports never holds a password or its hash."""

    def _accounts(test=False, accounts=ACCOUNTS):
        result = state("accounts", test, name=socket, accounts=accounts)
        assert not re.search(r"\*[0-9A-F]{40}", str(result))
        assert not any(password in str(result) for password in PASSWORDS.values())
        return result

    return _accounts


@pytest.fixture
def databases(state, socket, sql):
    def _databases(test=False, names=DATABASES):
        return state("databases", test, name=socket, databases=names)

    return _databases


def seen(sql):
    """All that the server knows about who may do what."""
    trivial = "'$.password_last_changed', '$.auth_or'"
    rows = sql(
        f"SELECT User, Host, JSON_REMOVE(Priv, {trivial}) FROM mysql.global_priv"
        " WHERE Host NOT IN ('', 'localhost') ORDER BY 1, 2"
    )
    return rows, [sql(f"SHOW GRANTS FOR `{user}`@`{host}`") for user, host, _ in rows], sql("SHOW GRANTS FOR PUBLIC")


def test_new_accounts(accounts, sql, testmode):
    before = seen(sql)
    result = accounts(testmode)
    assert result["result"] is (None if testmode else True)
    new = {"account": {"old": "absent", "new": "present"}}
    web = {**new, "granted": ["INSERT ON insync.*", "SELECT ON insync.*"]}
    mailer = {**new, "granted": ["RELOAD ON *.*", "SELECT ON insync_mail.*"]}
    assert result["changes"] == {WEB: web, "web@10.0.0.2": web, "mailer@10.0.0.3": mailer}
    assert (seen(sql) == before) is testmode
    again = accounts(testmode)
    assert again["changes"] == (result["changes"] if testmode else {})


def test_what_the_server_then_says(accounts, sql):
    accounts()
    login, grant = (text for (text,) in sql("SHOW GRANTS FOR web@10.0.0.1"))
    assert login.endswith("REQUIRE SSL")
    assert sql(f"SELECT PASSWORD({pymysql.converters.escape_item(PASSWORDS['web'], 'utf8mb4')})")[0][0] in login
    assert grant == "GRANT SELECT, INSERT ON `insync`.* TO `web`@`10.0.0.1`"
    # An underscore that is not escaped would stand for any character.
    assert r"GRANT SELECT ON `insync\_mail`.*" in str(sql("SHOW GRANTS FOR mailer@10.0.0.3")[1][0])


def test_the_same_accounts(accounts, sql, testmode):
    accounts()
    before = seen(sql)
    result = accounts(testmode)
    assert (result["result"], result["changes"]) == (True, {})
    assert seen(sql) == before


PASSWORD = {"password": {"old": "differs", "new": "as declared"}}
LIMITS = {"limits": {"old": "locked, expired or limited", "new": "none"}}
TWO_WAYS = "ALTER USER {web} IDENTIFIED VIA mysql_native_password USING PASSWORD('x') OR unix_socket REQUIRE SSL"
BY_HAND = {
    "password": (["SET PASSWORD FOR {web} = PASSWORD('other')"], PASSWORD),
    "no password": (["SET PASSWORD FOR {web} = ''"], PASSWORD),
    "second way in": ([TWO_WAYS], PASSWORD),
    "tls": (["ALTER USER {web} REQUIRE NONE"], {"tls": {"old": "other", "new": "required"}}),
    "locked": (["ALTER USER {web} ACCOUNT LOCK"], LIMITS),
    "expired": (["ALTER USER {web} PASSWORD EXPIRE"], LIMITS),
    "limited": (["ALTER USER {web} WITH MAX_QUERIES_PER_HOUR 5"], LIMITS),
    "one more": (["GRANT DELETE ON insync.* TO {web}"], {"revoked": ["DELETE ON insync.*"]}),
    "one less": (["REVOKE INSERT ON insync.* FROM {web}"], {"granted": ["INSERT ON insync.*"]}),
    "everything": (
        ["GRANT ALL ON *.* TO {web} WITH GRANT OPTION"],
        {"revoked": ["ALL PRIVILEGES ON *.*", "GRANT OPTION ON *.*"]},
    ),
    "all of the database": (
        ["GRANT ALL ON insync.* TO {web} WITH GRANT OPTION"],
        {
            "revoked": ["ALL PRIVILEGES ON insync.*", "GRANT OPTION ON insync.*"],
            "granted": ["INSERT ON insync.*", "SELECT ON insync.*"],
        },
    ),
    "a table, a column, a procedure": (
        [
            "CREATE DATABASE other",
            "CREATE TABLE other.t (id INT, `o``dd` INT)",
            "CREATE PROCEDURE other.p() SELECT 1",
            "GRANT DELETE ON other.t TO {web} WITH GRANT OPTION",
            "GRANT UPDATE (id, `o``dd`) ON other.t TO {web}",
            "GRANT EXECUTE ON PROCEDURE other.p TO {web}",
        ],
        {
            "revoked": [
                "EXECUTE ON PROCEDURE other.p",
                "DELETE ON other.t",
                "GRANT OPTION ON other.t",
                "UPDATE (odd, id) ON other.t",
            ]
        },
    ),
    "a role and a proxy": (
        ["CREATE ROLE helper", "GRANT helper TO {web} WITH ADMIN OPTION", "GRANT PROXY ON root@localhost TO {web}"],
        {"revoked": ["helper", "PROXY ON root@localhost"]},
    ),
}


@pytest.mark.parametrize("drift", BY_HAND)
def test_what_was_changed_by_hand_comes_back(accounts, sql, testmode, drift):
    accounts()
    declared = seen(sql)
    statements, changes = BY_HAND[drift]
    sql(*(statement.format(web="`web`@`10.0.0.1`") for statement in statements))
    drifted = seen(sql)
    assert drifted != declared or drift == "expired"
    result = accounts(testmode)
    assert result["result"] is (None if testmode else True), result["comment"]
    assert result["changes"] == {WEB: changes}
    assert seen(sql) == (drifted if testmode else declared)
    assert accounts(testmode)["changes"] == (result["changes"] if testmode else {})


STRANGERS = {
    "other host": ("CREATE USER web@`%` IDENTIFIED BY 'x'", {"web@%": {"old": "present", "new": "dropped"}}),
    "other user": ("CREATE USER mallory@`10.%`", {"mallory@10.%": {"old": "present", "new": "dropped"}}),
    "nobody": ("CREATE USER ``@`%`", {"@%": {"old": "present", "new": "dropped"}}),
    "rights of nobody": (
        "INSERT INTO mysql.db (Host, Db, User, Select_priv) VALUES ('%', 'test', '', 'Y')",
        {"@%": {"old": "present", "new": "dropped"}},
    ),
    "everybody": ("GRANT SELECT ON test.* TO PUBLIC", {"PUBLIC": {"revoked": ["SELECT ON test.*"]}}),
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_who_is_not_declared_goes(accounts, sql, testmode, stranger):
    accounts()
    statement, changes = STRANGERS[stranger]
    declared = seen(sql)
    sql(statement, "FLUSH PRIVILEGES")
    result = accounts(testmode)
    assert result["result"] is (None if testmode else True), result["comment"]
    assert result["changes"] == changes
    assert testmode or seen(sql) == declared
    assert accounts(testmode)["changes"] == (changes if testmode else {})


def test_a_session_ends_with_its_account(accounts, socket, sql):
    accounts()
    sql("CREATE USER mallory@localhost IDENTIFIED BY 'x'")
    with connect(socket, "mallory", "x") as session:
        assert list(accounts()["changes"]) == ["mallory@localhost"]
        with pytest.raises(pymysql.MySQLError), session.cursor() as cursor:
            cursor.execute("SELECT 1")


def test_an_account_that_is_no_longer_declared_goes(accounts, sql, testmode):
    accounts()
    fewer = {"web": {**ACCOUNTS["web"], "hosts": ["10.0.0.2"]}}
    result = accounts(testmode, fewer)
    assert sorted(result["changes"]) == ["mailer@10.0.0.3", WEB]
    left = {host for (host,) in sql("SELECT Host FROM mysql.global_priv WHERE Host LIKE '10.%'")}
    assert left == ({"10.0.0.1", "10.0.0.2", "10.0.0.3"} if testmode else {"10.0.0.2"})


@pytest.mark.parametrize("password", ["", None, "two\nlines"])
def test_a_password_that_cannot_be(state, socket, sql, testmode, password):
    before = seen(sql)
    result = state("accounts", testmode, {**PASSWORDS, "web": password}, name=socket, accounts=ACCOUNTS)
    assert (result["result"], result["changes"]) == (False, {})
    assert result["comment"] == "web: the secret db:web is missing, empty, or has a line break in it"
    assert seen(sql) == before


def test_a_privilege_that_the_server_refuses_or_names_otherwise(accounts, sql):
    for privileges, reason in ((["FLY"], "You have an error in your SQL syntax"), (["USAGE"], "still not as declared")):
        result = accounts(accounts={"web": {**ACCOUNTS["web"], "grants": {"insync": privileges}}})
        assert (result["result"], result["changes"]) == (False, {})
        assert reason in result["comment"]


@pytest.mark.parametrize("function", ["accounts", "databases"])
def test_a_server_that_does_not_answer(state, tmp_path, testmode, function):
    path = tmp_path / "socket"
    path.touch()
    declared = {"accounts": ACCOUNTS} if function == "accounts" else {"databases": DATABASES}
    result = state(function, testmode, name=str(path), **declared)
    assert (result["result"], result["changes"]) == (False, {})
    assert result["comment"].startswith(f"MariaDB at {path}: Can't connect")
    assert "\n" not in result["comment"]


@pytest.mark.parametrize("function", ["accounts", "databases"])
def test_before_there_is_a_server_test_mode_foretells_and_a_run_fails(state, tmp_path, testmode, function):
    declared = {"accounts": ACCOUNTS} if function == "accounts" else {"databases": DATABASES}
    result = state(function, testmode, name=str(tmp_path / "none"), **declared)
    assert result["result"] is (None if testmode else False)
    assert bool(result["changes"]) is testmode


@private_world
def test_of_a_server_that_has_data_and_does_not_run_test_mode_foretells_nothing(state, tmp_path):
    pathlib.Path("/var/lib/mysql/mysql").mkdir(parents=True)
    result = state("databases", True, name=str(tmp_path / "none"), databases=DATABASES)
    assert (result["result"], result["changes"]) == (None, {})
    assert "does not run" in result["comment"]


def test_new_databases(databases, sql, testmode):
    result = databases(testmode)
    assert result["result"] is (None if testmode else True)
    new = {"old": None, "new": "utf8mb4_unicode_ci"}
    assert result["changes"] == {"insync": new, "insync_mail": new}
    there = {name for (name,) in sql("SHOW DATABASES")}
    assert (set(DATABASES) <= there) is not testmode
    assert databases(testmode)["changes"] == (result["changes"] if testmode else {})


def test_databases_that_differ(databases, sql, testmode):
    sql("CREATE DATABASE insync_mail CHARACTER SET latin1", "CREATE DATABASE other", "CREATE DATABASE test")
    databases(names=["insync"], test=False)
    sql("CREATE DATABASE test", "CREATE TABLE insync.kept (id INT)")
    result = databases(testmode)
    assert result["result"] is (None if testmode else True)
    old = {name: change["old"] for name, change in result["changes"].items()}
    assert list(old) == ["insync_mail", "test"]
    assert old["insync_mail"].startswith("latin1")
    assert {name for (name,) in sql("SHOW DATABASES")} >= {"insync", "insync_mail", "other"}
    assert (("test",) in sql("SHOW DATABASES")) is testmode
    assert sql("SHOW TABLES IN insync") == [("kept",)]
    assert databases(testmode)["changes"] == (result["changes"] if testmode else {})


def test_a_test_database_with_tables_is_not_dropped(databases, sql, testmode):
    sql("CREATE DATABASE test", "CREATE TABLE test.precious (id INT)")
    result = databases(testmode)
    assert (result["result"], result["changes"]) == (False, {})
    assert result["comment"] == "the database test holds tables; move them, or drop it by hand"
    assert sql("SHOW TABLES IN test") == [("precious",)]


def test_every_account_of_the_fleet_can_be_made(site, single, opts, socket, sql):
    """With the privileges that pillar declares, in the server's own words."""
    side = compile_host(ROOT, site, hosts_with(load(ROOT / "pillar" / "inventory"), "mysql_primary")[0])
    opts["pillar"] = {"secrets": side["pillar"]["secrets"]}
    (declared,) = [chunk["accounts"] for chunk in side["low"] if chunk["__id__"] == "mariadb-accounts"]
    for changes in (True, False):
        result = single("insync_mysql.accounts", name=socket, accounts=declared)
        assert (result["result"], bool(result["changes"])) == (True, changes), result["comment"]
