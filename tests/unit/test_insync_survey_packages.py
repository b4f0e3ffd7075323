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
    root.write("/etc/ours", "# Managed by Salt.\nS3CRET\n")
    found = root.survey(files=["/etc/ours"], gone=["/etc/unwanted"])
    assert found["unknown"] == [
        "configuration /etc/both of openssh-server: changed",
        "configuration /etc/ssh/sshd_config of openssh-server: changed",
        "configuration /etc/gone of openssh-server: missing",
        "configuration /etc/nobody's of an unknown package: changed",
        "configuration /etc/new of an unknown package: missing",
    ]
    assert [row["by"] for row in found["found"]["conffiles"]] == ["", "", "salt", "", "", ""]


JOB = "17 * * * * root cd / && run-parts /etc/cron.hourly\n"


def test_what_somebody_wrote_into_a_file_of_a_package_is_told_as_what_it_is(root):
    names = ["/etc/crontab", "/etc/cron.daily/dump", "/etc/init.d/web", "/etc/nginx/sites-available/default"]
    root.package("web", names, conffiles=names)
    for name in names:
        root.write(name, "as it came\n", 0o755)
    root.link("/etc/nginx/sites-enabled/default", "../sites-available/default")
    assert root.survey()["unknown"] == []
    root.write("/etc/crontab", f"{JOB}* * * * * root /srv/own S3CRET\n")
    root.write("/etc/cron.daily/dump", "S3CRET")
    root.write("/etc/init.d/web", "S3CRET", 0o755)
    root.write(names[3], "server { server_name own.example; root /srv/own; }")
    changed = [f"configuration {name} of web: changed" for name in names]
    told = [
        "unit /etc/init.d/web: init script",
        "cron /etc/crontab: 17 * * * * cd ... && ... (user root)",
        "cron /etc/crontab: * * * * * ... (user root)",
        "cron /etc/cron.daily/dump: a script",
        "site own.example of nginx, in /etc/nginx/sites-enabled/default, root /srv/own",
    ]
    assert root.survey()["unknown"] == told + changed
    # Nor are they ours as long as our states have not written there.
    assert root.survey(files=names)["unknown"] == [*told, *changed]
    # But what somebody has explained is explained.
    assert (
        root.survey(files=names, known=dict.fromkeys([*names, "/etc/nginx/sites-enabled/default"], "ok"))["unknown"]
        == []
    )
    for name in names:
        root.write(name, f"# Managed by Salt.\n{root.path.joinpath(name[1:]).read_text()}")
    assert root.survey(files=[*names, "/etc/nginx/sites-enabled/default"])["unknown"] == []
