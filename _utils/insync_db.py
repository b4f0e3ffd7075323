"""The part that a server with MariaDB plays, primary or replica: what it is, and how it becomes what is declared."""

import insync_gtid
import insync_mariadb
import insync_mariadb_seed
import insync_systemd
from insync_mariadb import DatabaseError

# Of insync_verb: one of these at a time on a server.
AREA = "db"
UNIT = "mariadb"
# Beside them no account is on a server that nobody has used.
_ACCOUNTS = {("root", "localhost"), ("mysql", "localhost"), ("mariadb.sys", "localhost"), ("PUBLIC", "")}
_DATABASES = {"test"}
# What SHOW SLAVE STATUS calls it, and what CHANGE MASTER does; the value is the one that is wanted, None: told apart.
_SETTINGS = {
    "source": ("Master_Host", "MASTER_HOST", None),
    "port": ("Master_Port", "MASTER_PORT", None),
    "user": ("Master_User", "MASTER_USER", None),
    "ca": ("Master_SSL_CA_File", "MASTER_SSL_CA", None),
    "tls": ("Master_SSL_Allowed", "MASTER_SSL", "Yes"),
    "certificate": ("Master_SSL_Verify_Server_Cert", "MASTER_SSL_VERIFY_SERVER_CERT", "Yes"),
    "position": ("Using_Gtid", "MASTER_USE_GTID", "Slave_Pos"),
    "retry": ("Connect_Retry", "MASTER_CONNECT_RETRY", 2),
}
_THREADS = {"receiver": "Slave_IO_Running", "applier": "Slave_SQL_Running"}
# The password is wrong, or nobody has that name: our secret may be a newer one.
_DENIED = {1045, 1698}


def closed(query):
    """Return whether the server takes no writes (bool) but root's; ``query`` is an insync_mariadb.Query, as below."""
    return bool(int(query.variable("read_only")))


def may_open(query):
    """Raise DatabaseError, saying why, if this server must not be opened for writes."""
    if insync_mariadb.FENCE.exists():
        raise DatabaseError(f"it is fenced ({insync_mariadb.FENCE}), and stays closed; see 'salt-run insync.rejoin_db'")
    found = insync_mariadb.replication(query)
    if found:
        reason = f"it is declared the primary, but set up as a replica of {found['Master_Host']}"
        raise DatabaseError(f"{reason}; 'salt-run insync.switchover_db' or 'insync.failover_db' changes who is")


def open_for_writes(query):
    """Open the server for writes; where replicas read its log, no commit is answered before one of them has it."""
    if insync_mariadb.replicas(query):
        query("SET GLOBAL rpl_semi_sync_master_enabled = ON")
    query("SET GLOBAL read_only = OFF")


def replaceable(data, socket):
    """
    Return whether nothing of anybody's is in the folder ``data`` (pathlib.Path) of a server (bool).

    socket (str): of the server. Raises DatabaseError if that cannot be known.
    """
    if insync_mariadb_seed.half(data) or insync_mariadb_seed.empty(data):
        return True
    try:
        with insync_mariadb.local(socket) as query:
            return blank(query)
    except insync_mariadb.Unreachable as exc:
        reason = "there is data that nobody has marked, and its server does not run to say what it is"
        raise DatabaseError(f"{data}: {reason}; start it, or move the data away. Nothing was changed ({exc})") from exc


def put_in_place(folder, data, facts):
    """
    Stop the server, and let the copy in ``folder`` be its ``data`` (both pathlib.Path), which was judged replaceable.

    facts (dict): what the marker says. Raises DatabaseError.
    """
    # From now on it cannot be started as it is, whatever happens.
    data.mkdir(exist_ok=True)
    (data / insync_mariadb_seed.SEEDING).touch()
    try:
        insync_systemd.systemctl("stop", UNIT)
    except insync_systemd.UnitError as exc:
        raise DatabaseError(str(exc)) from exc
    insync_mariadb_seed.take_over(folder, data, facts)


def blank(query):
    """Return whether nobody has ever used the server (bool): no database, account, transaction or replication."""
    accounts = set(query("SELECT User, Host FROM mysql.global_priv")) - _ACCOUNTS
    tables = query.value("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'test'")
    return not (
        accounts
        or set(insync_mariadb.databases(query)) - _DATABASES
        or tables
        or query.variable("gtid_current_pos")
        or insync_mariadb.replication(query)
    )


def position_known_to(query, primary, name):
    """
    Return where this server is (str, a GTID list), if all of its history is part of the primary's.

    primary (Query): at the primary. name (str): of the primary.
    Raises DatabaseError naming what only this server has.
    """
    position, history = query.variable("gtid_current_pos"), primary.variable("gtid_binlog_state")
    if not position:
        reason = "it has data, but no GTID that tells where that is from"
        raise DatabaseError(f"{reason}; nothing was changed. Move the data away if {name} has all of it")
    try:
        lacking = insync_gtid.missing(position, history)
    except insync_gtid.GtidError as exc:
        raise DatabaseError(f"{name}: {exc}") from exc
    if lacking:
        reason = f"it has transactions that {name} has not ({', '.join(lacking)})"
        raise DatabaseError(f"{reason}; nothing was changed, see 'salt-run insync.rejoin_db'")
    return position


def replication_changes(query, wanted):
    """
    Return what is to be changed so that this server replicates as ``wanted`` (dict: source, port, user, ca) says.

    A dict: setting or thread -> {old, new}. Raises DatabaseError for an open server that is no replica of that source.
    """
    found, changes = insync_mariadb.replication(query), {}
    if not closed(query):
        if found.get("Master_Host") != wanted["source"]:
            reason = f"it is open for writes, and no replica of {wanted['source']}"
            raise DatabaseError(f"{reason}; 'salt-run insync.switchover_db' or 'insync.rejoin_db' makes it one")
        changes["read_only"] = {"old": False, "new": True}
    if int(query.variable("rpl_semi_sync_master_enabled")):
        # As a former primary it would wait for a replica of its own with all that it applies.
        changes["semi_sync_master"] = {"old": True, "new": False}
    for setting, (shown, _, fixed) in _SETTINGS.items():
        old, new = found.get(shown), wanted[setting] if fixed is None else fixed
        if str(old) != str(new):
            changes[setting] = {"old": old, "new": new}
    if found.get("Last_IO_Errno") in _DENIED:
        changes["password"] = {"old": "is refused", "new": "as declared"}
    for thread, shown in _THREADS.items():
        # One that tries again, or that an error has stopped, is a problem to be told, not a drift.
        stopped = found.get(shown) == "No" and not found.get(f"Last_{shown.split('_')[1]}_Errno")
        if stopped or not found:
            changes[thread] = {"old": "stopped", "new": "runs"}
    return changes


def replicate(query, wanted, password, seed, changes):
    """
    Make ``changes`` (dict, of ``replication_changes``), and start replication.

    password (str): of the account. seed (dict or None): the marker of this server's data.
    """
    query("SET GLOBAL read_only = ON")
    if "semi_sync_master" in changes:
        query("SET GLOBAL rpl_semi_sync_master_enabled = OFF")
    begun = bool(insync_mariadb.replication(query))
    if not begun:
        if not seed:
            raise DatabaseError("its data is of unknown origin; nothing was changed")
        # Of a primary that was a replica once, the copy tells that old position too.
        query("SET GLOBAL gtid_slave_pos = %s", insync_gtid.later(seed["gtid"], query.variable("gtid_current_pos")))
    if changes.keys() - _THREADS.keys() - {"read_only", "semi_sync_master"}:
        query("STOP SLAVE")
        given = {key: value for _, key, value in _settings(wanted)} | {"MASTER_PASSWORD": password}
        words = ", ".join(f"{key} = {'slave_pos' if key == 'MASTER_USE_GTID' else '%s'}" for key in given)
        given.pop("MASTER_USE_GTID")
        query(f"CHANGE MASTER TO {words}", *given.values())
    query("START SLAVE")


def _settings(wanted):
    for setting, (shown, key, fixed) in _SETTINGS.items():
        yield shown, key, wanted[setting] if fixed is None else 1 if fixed == "Yes" else fixed


def starting(query):
    """Return whether replication is on its way to run, and has told no error (bool)."""
    found = insync_mariadb.replication(query)
    running = all(found.get(shown) == "Yes" for shown in _THREADS.values())
    return not running and not (found.get("Last_SQL_Errno") or found.get("Last_IO_Errno"))


def replication_problem(query):
    """Return what is wrong with this server's replication (str), "" if nothing is."""
    found = insync_mariadb.replication(query)
    if not found:
        return "it replicates nobody"
    for thread, kind in (("receiver", "IO"), ("applier", "SQL")):
        if found[f"Slave_{kind}_Running"] != "Yes":
            said = found[f"Last_{kind}_Error"] or f"it is {str(found[f'Slave_{kind}_Running']).lower()}"
            return f"replication from {found['Master_Host']}: the {thread} does not run: {' '.join(said.split())[:300]}"
    return ""
