"""Who can enter a server, and who did."""

import struct

import insync_survey_people
import insync_survey_system


def test_who_logged_in_last(root):
    def record(kind, user, host, seconds):
        return struct.pack("<h2xi32s4s32s256s4xiii36x", kind, 1, b"", b"", user, host, 0, seconds, 0)

    data = record(7, b"alice", b"10.0.0.1", 60) + record(8, b"gone", b"", 61) + record(7, b"alice", b"10.0.0.1", 120)
    root.write("/var/log/wtmp").write_bytes(data + b"cut short")
    rows = insync_survey_people.logins(insync_survey_system.System(root.path))
    assert rows == [{"user": "alice", "when": "1970-01-01 00:02", "origin": "10.0.0.1"}]
