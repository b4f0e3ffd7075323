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


def test_a_user_of_the_system_that_no_package_makes_is_asked_about(root):
    with (root.path / "etc/passwd").open("a") as file:
        for number, name in enumerate(("postgres", "games", "git", "hidden", "post", "lp", "silent"), 101):
            shell = "/usr/sbin/nologin" if name == "silent" else "/bin/bash"
            file.write(f"{name}:x:{number}:{number}::/:{shell}\n")
    root.write("/usr/share/base-passwd/passwd.master", "games:*:5:60::/usr/games:/bin/sh\n")
    root.write("/var/lib/dpkg/info/postgresql-common.postinst", "adduser --system --quiet postgres\n")
    root.write("/var/lib/dpkg/info/other.postinst", "chown hidden /x\n")
    root.write("/usr/lib/sysusers.d/x.conf", "# hidden-one\nu lp - - /x\n")
    assert root.survey(users=["git"])["unknown"] == ["user hidden: uid 104, /bin/bash", "user post: uid 105, /bin/bash"]
