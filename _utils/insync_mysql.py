"""Databases and accounts of MariaDB: what is declared, what the server says, and the statements that make it so."""

import hashlib
import ipaddress
import re

# Everybody has what this pseudo-role is granted.
PUBLIC = ("PUBLIC", "")
# The server's own; they can only be used on the server itself.
SYSTEM = {("root", "localhost"), ("mysql", "localhost"), ("mariadb.sys", "localhost")}
PLUGIN = "mysql_native_password"
COLLATION = "utf8mb4_unicode_ci"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_PRIVILEGE = re.compile(r"[A-Z]+( [A-Z]+)*")
_QUOTED = r"`(?:[^`]|``)*`"
_GRANT = re.compile(rf"GRANT ((?:[^`]|{_QUOTED})+?)(?: ON (.+))?")
_LIMITS = (
    "account_locked",
    "max_questions",
    "max_updates",
    "max_connections",
    "max_user_connections",
    "max_statement_time",
)
_UNLIMITED = (
    "WITH MAX_QUERIES_PER_HOUR 0 MAX_UPDATES_PER_HOUR 0 MAX_CONNECTIONS_PER_HOUR 0 MAX_USER_CONNECTIONS 0"
    " MAX_STATEMENT_TIME 0 PASSWORD EXPIRE DEFAULT ACCOUNT UNLOCK"
)


class DeclarationError(ValueError):
    """What is declared cannot be; the message names the account or database and the reason, never a password."""


def password_hash(password):
    """Return what the server stores for ``password`` (str) in place of it."""
    return "*" + hashlib.sha1(hashlib.sha1(password.encode()).digest()).hexdigest().upper()


def declared(accounts, secrets):
    """
    Return the accounts that shall be: ``{(user, host): {"hash": str, "grants": {object: set of privileges}}}``.

    accounts (dict): user -> hosts (list of addresses), key (``role:key`` of its password), grants (database or ``*`` ->
        privileges).
    secrets (dict): role -> key -> password.
    Raises DeclarationError.
    """
    found = {}
    for user, account in accounts.items():
        _check(user, _NAME, f"'{user}' is not a user name")
        grants = {_object(user, where): set(what) for where, what in account["grants"].items()}
        for privilege in set().union(*grants.values()):
            _check(privilege, _PRIVILEGE, f"{user}: '{privilege}' is not a privilege")
        entry = {"hash": password_hash(_password(user, account["key"], secrets)), "grants": grants}
        found |= {(user, _address(user, host)): entry for host in account["hosts"]}
    return found


def _check(text, pattern, message):
    if not pattern.fullmatch(text):
        raise DeclarationError(message)


def _object(user, where):
    if where == "*":
        return "*.*"
    _check(where, _NAME, f"{user}: '{where}' is not a name of a database")
    # In a grant an underscore stands for any character.
    return "`" + where.replace("_", r"\_") + "`.*"


def _password(user, where, secrets):
    role, _, key = where.partition(":")
    password = secrets.get(role, {}).get(key, "")
    if not password or not str(password).isprintable():
        raise DeclarationError(f"{user}: the secret {where} is missing, empty, or has a line break in it")
    return str(password)


def _address(user, host):
    try:
        return str(ipaddress.ip_address(host))
    except ValueError as exc:
        raise DeclarationError(f"{user}: '{host}' is not an address") from exc


def account(user, host):
    """Return the account's name (str) as SQL wants it."""
    return "PUBLIC" if (user, host) == PUBLIC else f"{_quoted(user)}@{_quoted(host)}"


def _quoted(name):
    return "`" + name.replace("`", "``") + "`"


def grants(lines, who):
    """
    Return ``{object: set of privileges}`` from what SHOW GRANTS says (list of str) of ``who`` (str, from ``account``).

    A role's object is the empty text. No line's password hash is in it.
    """
    found = {}
    for line in lines:
        head, _, options = line.rpartition(f" TO {who}")
        match = _GRANT.fullmatch(head)
        if not match:
            continue
        privileges = {one.strip() for one in re.findall(rf"(?:{_QUOTED}|\([^)]*\)|[^,(`])+", match[1])}
        if match[2] and "PROXY" not in privileges and re.search(r"\bWITH\b.*\bGRANT OPTION\b", options):
            privileges.add("GRANT OPTION")
        found.setdefault(match[2] or "", set()).update(privileges - {"USAGE"})
    return {where: what for where, what in found.items() if what}


def plan_databases(names, found):
    """
    Return ``(changes, statements)`` that make the databases ``names`` (list of str) be, and ``test`` not.

    found (dict): name -> {"collation": str, "tables": int} of those that are. One that is not declared stays.
    Raises DeclarationError, also for a ``test`` that holds tables.
    """
    changes, statements = {}, []
    for name in names:
        _check(name, _NAME, f"'{name}' is not a name of a database")
        old = found[name]["collation"] if name in found else None
        if old != COLLATION:
            changes[name] = {"old": old, "new": COLLATION}
            verb = "ALTER" if old else "CREATE"
            statements.append(f"{verb} DATABASE {_quoted(name)} CHARACTER SET utf8mb4 COLLATE {COLLATION}")
    if "test" in found and "test" not in names:
        if found["test"]["tables"]:
            raise DeclarationError("the database test holds tables; move them, or drop it by hand")
        changes["test"] = {"old": found["test"]["collation"], "new": None}
        statements.append("DROP DATABASE test")
    return changes, statements


def plan_accounts(wanted, found):
    """
    Return ``(changes, statements)`` that make the accounts be exactly what is declared; the server's own stay.

    wanted (dict): as ``declared`` returns it.
    found (dict): (user, host) -> {"login": what mysql.global_priv says, "grants": as ``grants`` returns them}.

    changes names accounts and privileges, never a password or its hash.
    """
    changes, statements = {}, []
    for who in sorted(found.keys() - wanted.keys() - SYSTEM - {PUBLIC}):
        changes["@".join(who)] = {"old": "present", "new": "dropped"}
        statements.append(f"DROP USER {account(*who)}")
        if who[0] not in {user for user, _ in wanted}:
            # The sessions of an account outlive it.
            statements += [f"KILL USER {_quoted(who[0])}"] if who[0] else []
    for who, entry in {PUBLIC: {"grants": {}}, **wanted}.items():
        changed, needed = _plan_account(account(*who), entry, found.get(who))
        if changed:
            changes["@".join(who).rstrip("@")] = changed
            statements += needed
    return changes, statements


def _plan_account(who, wanted, found):
    changes, statements = _plan_login(who, wanted.get("hash"), found and found["login"])
    old = _pairs(found["grants"] if found else {})
    new = _pairs(wanted["grants"])
    if old - new:
        changes["revoked"] = [_described(pair) for pair in sorted(old - new)]
    if new - old:
        changes["granted"] = [_described(pair) for pair in sorted(new - old)]
    # First what is too much: where it is ALL PRIVILEGES, what shall stay goes with it.
    statements += [f"REVOKE {_on(pair)} FROM {who}" for pair in sorted(old - new)]
    statements += [f"GRANT {_on(pair)} TO {who}" for pair in sorted(new - old)]
    return changes, statements


def _plan_login(who, wanted, found):
    """What is wrong with how somebody logs in, and the statement that repairs all of it."""
    if not wanted:
        return {}, []
    login = f"IDENTIFIED VIA {PLUGIN} USING '{wanted}' REQUIRE SSL {_UNLIMITED}"
    if found is None:
        return {"account": {"old": "absent", "new": "present"}}, [f"CREATE USER {who} {login}"]
    changes = {}
    # The first of the alternatives is the password itself, and empty.
    if (found.get("plugin"), found.get("authentication_string")) != (PLUGIN, wanted) or any(found.get("auth_or", [])):
        changes["password"] = {"old": "differs", "new": "as declared"}
    # 1 is what REQUIRE SSL sets.
    if found.get("ssl_type") != 1:
        changes["tls"] = {"old": "other", "new": "required"}
    if any(found.get(key) for key in _LIMITS) or found.get("password_last_changed") == 0:
        changes["limits"] = {"old": "locked, expired or limited", "new": "none"}
    return changes, [f"ALTER USER {who} {login}"] if changes else []


def _pairs(privileges):
    return {(where, one) for where, what in privileges.items() for one in what}


def _described(pair):
    return _on(pair).replace(r"\_", "_").replace("`", "")


def _on(pair):
    where, what = pair
    return f"{what} ON {where}" if where else what
