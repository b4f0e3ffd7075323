"""What is in a MariaDB, so that a copy of it can be compared: rows and checksums, and everything that is no table."""

import hashlib

import insync_mariadb

_OWN = "NOT IN ('mysql', 'performance_schema', 'sys', 'information_schema')"
_TABLES = (
    "SELECT table_schema, table_name FROM information_schema.tables"
    f" WHERE table_type = 'BASE TABLE' AND table_schema {_OWN} ORDER BY 1, 2"
)
# Name and definition of each.
_OBJECTS = {
    "databases": "SELECT schema_name, CONCAT_WS(' ', default_character_set_name, default_collation_name)"
    f" FROM information_schema.schemata WHERE schema_name {_OWN}",
    "views": "SELECT CONCAT_WS('.', table_schema, table_name), CONCAT_WS(' ', definer, security_type, view_definition)"
    f" FROM information_schema.views WHERE table_schema {_OWN}",
    "routines": "SELECT CONCAT_WS('.', routine_schema, routine_name, routine_type),"
    " CONCAT_WS(' ', definer, security_type, dtd_identifier, routine_definition)"
    f" FROM information_schema.routines WHERE routine_schema {_OWN}",
    "triggers": "SELECT CONCAT_WS('.', trigger_schema, trigger_name), CONCAT_WS(' ', definer, action_timing,"
    " event_manipulation, event_object_table, action_statement)"
    f" FROM information_schema.triggers WHERE trigger_schema {_OWN}",
    "events": "SELECT CONCAT_WS('.', event_schema, event_name), CONCAT_WS(' ', definer, event_type, execute_at,"
    " interval_value, interval_field, event_definition)"
    f" FROM information_schema.events WHERE event_schema {_OWN}",
    "columns": "SELECT CONCAT_WS('.', table_schema, table_name), GROUP_CONCAT(CONCAT_WS(' ', column_name, column_type,"
    " is_nullable, column_default, extra, column_key, collation_name) ORDER BY ordinal_position SEPARATOR ', ')"
    f" FROM information_schema.columns WHERE table_schema {_OWN} GROUP BY table_schema, table_name",
    "users": "SELECT CONCAT_WS('@', user, host), priv FROM mysql.global_priv",
    "grants": "SELECT CONCAT_WS('@', user, host), GROUP_CONCAT(CONCAT_WS(' ', db, select_priv, insert_priv,"
    " update_priv, delete_priv, create_priv, drop_priv, alter_priv, execute_priv, grant_priv) ORDER BY db)"
    " FROM mysql.db GROUP BY user, host",
}


def read(query):
    """
    Return what the server of ``query`` (insync_mariadb.Query) holds (dict); nobody may write there meanwhile.

    tables: {database.table: {"rows": int, "checksum": int}}; objects: {kind: {name: SHA-256 of its definition}}.
    Raises insync_mariadb.DatabaseError, also for a table that is damaged.
    """
    query("SET SESSION group_concat_max_len = 16777216")
    found = {f"{schema}.{table}": _table(query, schema, table) for schema, table in tables(query)}
    objects = {kind: {name: _digest(text) for name, text in query(wanted)} for kind, wanted in _OBJECTS.items()}
    return {"tables": found, "objects": objects}


def tables(query):
    """Return the tables (list of (database, table)) of the server of ``query``, but for the server's own."""
    return query(_TABLES)


def _table(query, schema, table):
    name = f"{quoted(schema)}.{quoted(table)}"
    # A percent sign of the name is none for values.
    ((_, checksum),) = query(f"CHECKSUM TABLE {name} EXTENDED")
    if checksum is None:
        raise insync_mariadb.DatabaseError(f"{schema}.{table}: it has no checksum, it may be damaged; see CHECK TABLE")
    return {"rows": query.value(f"SELECT COUNT(*) FROM {name}"), "checksum": int(checksum)}


def quoted(name):
    """Return ``name`` (str) of a database or table as SQL takes it."""
    return "`" + name.replace("`", "``") + "`"


def _digest(text):
    return hashlib.sha256(str(text).encode()).hexdigest()


def differences(wanted, found):
    """
    Return how ``found`` differs from ``wanted``, both of ``read``: a line (str) for each, [] if it does not.
    """
    lines = []
    for name in sorted(wanted["tables"].keys() | found["tables"].keys()):
        lines += _of_table(name, wanted["tables"].get(name), found["tables"].get(name))
    for kind in sorted(wanted["objects"].keys() | found["objects"].keys()):
        old, new = wanted["objects"].get(kind, {}), found["objects"].get(kind, {})
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                what = "is missing" if name not in new else "is too much" if name not in old else "differs"
                lines.append(f"{kind}: {name} {what}")
    return lines


def _of_table(name, old, new):
    if old is None or new is None:
        return [f"table {name} is {'missing' if new is None else 'too much'}"]
    if old["rows"] != new["rows"]:
        return [f"table {name} has {new['rows']} rows, and had {old['rows']}"]
    return [] if old["checksum"] == new["checksum"] else [f"table {name} has other rows than it had"]
