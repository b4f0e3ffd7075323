"""What the survey finds of what packages brought and somebody changed."""

import hashlib


def test_configuration_that_ucf_looks_after_is_compared_with_what_it_was(root):
    came = hashlib.md5(b"as it came\n").hexdigest()
    names = ["/etc/ssh/sshd_config", "/etc/default/same", "/etc/ours", "/etc/gone", "/etc/nobody's", "/etc/removed"]
    root.package("openssh-server", [], conffiles=["/etc/both"])
    root.write(
        "/var/lib/ucf/hashfile",
        "".join(f"{came}  {name}\n" for name in ["/etc/both", *names, "", "/etc/new", "/etc/unwanted"]),
    )
    root.write(
        "/var/lib/ucf/registry",
        "".join(f"openssh-server \t {name}\n" for name in names[:4]) + f"removed \t {names[5]}\n",
    )
    for name in ("/etc/both", *names[:3], *names[4:]):
        root.write(name, "as it came\n" if name == "/etc/default/same" else "S3CRET\n")
    found = root.survey(files=["/etc/ours"], gone=["/etc/unwanted"])
    assert found["unknown"] == [
        "configuration /etc/both of openssh-server: changed",
        "configuration /etc/ssh/sshd_config of openssh-server: changed",
        "configuration /etc/gone of openssh-server: missing",
        "configuration /etc/nobody's of an unknown package: changed",
        "configuration /etc/new of an unknown package: missing",
    ]
    assert [row["by"] for row in found["found"]["conffiles"]] == ["", "", "salt", "", "", ""]
