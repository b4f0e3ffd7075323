"""Primary and replica: what has to be changed, and what is left alone, as a server that only answers sees it."""

import insync_db
import insync_mariadb
import pytest
from insync_mariadb import DatabaseError

WANTED = {"source": "db.example", "port": 3306, "user": "replica", "ca": "/ca.crt"}
RUNNING = {
    "Master_Host": "db.example",
    "Master_Port": 3306,
    "Master_User": "replica",
    "Master_SSL_CA_File": "/ca.crt",
    "Master_SSL_Allowed": "Yes",
    "Master_SSL_Verify_Server_Cert": "Yes",
    "Using_Gtid": "Slave_Pos",
    "Connect_Retry": 2,
    "Slave_IO_Running": "Yes",
    "Slave_SQL_Running": "Yes",
    "Last_IO_Errno": 0,
    "Last_SQL_Errno": 0,
    "Last_IO_Error": "",
    "Last_SQL_Error": "",
}


class Server:
    """Answers what it was told to, and keeps what it is asked to do."""

    def __init__(self, slave=None, dump=(), **variables):
        self.slave, self.dump, self.told = slave, dump, []
        self.variables = {"read_only": 1, "gtid_current_pos": "", "rpl_semi_sync_master_enabled": 0, **variables}

    def __call__(self, statement, *arguments):
        if "processlist" in statement:
            return [(host,) for host in self.dump]
        if statement.startswith("SELECT User"):
            return [*insync_db._ACCOUNTS, *self.variables.get("accounts", ())]
        if statement.startswith("SHOW DATABASES"):
            return [(name,) for name in ("mysql", "sys", *self.variables.get("databases", ()))]
        self.told.append(statement if not arguments else (statement, *arguments))
        return []

    def dicts(self, statement):
        return [self.slave] if self.slave else []

    def variable(self, name):
        return self.variables[name]

    def value(self, statement):
        return self.variables.get("test_tables", 0)


def changed(slave, **variables):
    return insync_db.replication_changes(Server(slave, **variables), WANTED)


def test_one_that_replicates_as_declared_is_left_alone():
    assert changed(RUNNING) == {}


@pytest.mark.parametrize(
    "drift, changes",
    [
        ({"Master_Host": "other"}, {"source": {"old": "other", "new": "db.example"}}),
        ({"Using_Gtid": "No"}, {"position": {"old": "No", "new": "Slave_Pos"}}),
        ({"Master_SSL_Verify_Server_Cert": "No"}, {"certificate": {"old": "No", "new": "Yes"}}),
        ({"Slave_SQL_Running": "No"}, {"applier": {"old": "stopped", "new": "runs"}}),
        ({"Slave_IO_Running": "No"}, {"receiver": {"old": "stopped", "new": "runs"}}),
        ({"Last_IO_Errno": 1045}, {"password": {"old": "is refused", "new": "as declared"}}),
        # What an error has stopped would only stop again.
        ({"Slave_SQL_Running": "No", "Last_SQL_Errno": 1950}, {}),
        ({"Slave_IO_Running": "Connecting", "Last_IO_Errno": 2003}, {}),
    ],
)
def test_what_drifted(drift, changes):
    assert changed({**RUNNING, **drift}) == changes


def test_a_new_one_is_set_up_whole():
    assert changed(None).keys() == {*insync_db._SETTINGS, "receiver", "applier"}


def test_a_replica_that_was_opened_is_closed():
    assert changed(RUNNING, read_only=0) == {"read_only": {"old": False, "new": True}}


@pytest.mark.parametrize("slave", [None, {**RUNNING, "Master_Host": "other"}])
def test_an_open_server_that_is_no_replica_of_the_primary_is_left_alone(slave):
    with pytest.raises(DatabaseError, match="it is open for writes, and no replica of db.example; 'salt-run"):
        changed(slave, read_only=0)


def test_replication_begins_where_the_copy_ends():
    server = Server()
    insync_db.replicate(server, WANTED, "secret %s", {"gtid": "0-1-7"}, changed(None))
    closed, position, stopped, change, start = server.told
    assert (closed, stopped, start) == ("SET GLOBAL read_only = ON", "STOP SLAVE", "START SLAVE")
    assert position == ("SET GLOBAL gtid_slave_pos = %s", "0-1-7")
    assert "secret" not in change[0] and change[-1] == "secret %s"
    assert "MASTER_USE_GTID = slave_pos" in change[0] and "MASTER_SSL_VERIFY_SERVER_CERT = %s" in change[0]


def test_where_this_server_is_itself_counts_more_than_what_its_copy_said():
    server = Server(gtid_current_pos="0-1-9")
    insync_db.replicate(server, WANTED, "secret", {"gtid": "0-1-7"}, changed(None))
    assert ("SET GLOBAL gtid_slave_pos = %s", "0-1-9") in server.told


def test_data_of_unknown_origin_is_not_replicated_onto():
    server = Server()
    with pytest.raises(DatabaseError, match="unknown origin"):
        insync_db.replicate(server, WANTED, "secret", None, changed(None))
    assert server.told == ["SET GLOBAL read_only = ON"]


def test_only_what_stopped_is_started():
    server = Server({**RUNNING, "Slave_SQL_Running": "No"})
    insync_db.replicate(server, WANTED, "secret", None, changed(server.slave))
    assert server.told == ["SET GLOBAL read_only = ON", "START SLAVE"]


@pytest.mark.parametrize(
    "found, blank",
    [
        ({}, True),
        ({"databases": ["insync"]}, False),
        ({"databases": ["test"]}, True),
        ({"databases": ["test"], "test_tables": 1}, False),
        ({"accounts": [("web", "10.0.0.1")]}, False),
        ({"gtid_current_pos": "0-1-1"}, False),
        ({"slave": RUNNING}, False),
    ],
)
def test_who_is_blank(found, blank):
    slave = found.pop("slave", None)
    assert insync_db.blank(Server(slave, **found)) is blank


def test_a_server_whose_history_is_part_of_the_primarys_is_known():
    primary = Server(gtid_binlog_state="0-1-9,0-2-5")
    assert insync_db.position_known_to(Server(gtid_current_pos="0-2-4"), primary, "db") == "0-2-4"


@pytest.mark.parametrize(
    "position, reason", [("0-3-1", r"transactions that db has not \(0-3-1\)"), ("", "no GTID that tells")]
)
def test_a_server_with_more_than_the_primary_has_is_not(position, reason):
    with pytest.raises(DatabaseError, match=reason + ".*nothing was changed"):
        insync_db.position_known_to(Server(gtid_current_pos=position), Server(gtid_binlog_state="0-1-9"), "db")


def test_the_primary_is_opened_and_waits_for_its_replica(tmp_path, monkeypatch):
    monkeypatch.setattr(insync_mariadb, "FENCE", tmp_path / "fenced")
    alone, paired = Server(), Server(dump=["10.0.0.2:4711"])
    for server in (alone, paired):
        insync_db.may_open(server)
        insync_db.open_for_writes(server)
    assert alone.told == ["SET GLOBAL read_only = OFF"]
    assert paired.told == ["SET GLOBAL rpl_semi_sync_master_enabled = ON", "SET GLOBAL read_only = OFF"]


def test_a_fenced_server_and_a_replica_are_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(insync_mariadb, "FENCE", tmp_path / "fenced")
    with pytest.raises(DatabaseError, match="set up as a replica of db.example; 'salt-run insync.switchover_db'"):
        insync_db.may_open(Server(RUNNING))
    (tmp_path / "fenced").touch()
    with pytest.raises(DatabaseError, match="fenced"):
        insync_db.may_open(Server())


@pytest.mark.parametrize(
    "drift, problem",
    [
        ({}, ""),
        ({"Slave_SQL_Running": "No", "Last_SQL_Error": "out\nof order"}, "the applier does not run: out of order"),
        ({"Slave_IO_Running": "Connecting"}, "the receiver does not run: it is connecting"),
    ],
)
def test_what_is_wrong_with_replication(drift, problem):
    assert insync_db.replication_problem(Server({**RUNNING, **drift})).endswith(problem)
    assert insync_db.replication_problem(Server()) == "it replicates nobody"
