"""What the survey finds of cron, at and anacron."""

import pytest


def test_what_anacron_does_is_found(root):
    for name in ("dump", "bill"):
        root.write(f"/srv/{name}")
    text = "SHELL=/bin/sh\n# S3CRET\n1\t5 job PW=S3CRET /srv/dump -pS3CRET\n"
    root.write("/etc/anacrontab", f"{text}@monthly 9 job /srv/bill S3CRET\nS3CRET S3CRET\n")
    assert root.survey()["unknown"] == [
        "cron /etc/anacrontab: 1 5 PW=... /srv/dump -p... (user root)",
        "cron /etc/anacrontab: @monthly 9 /srv/bill ... (user root)",
        "cron /etc/anacrontab: ...",
    ]
    root.package("anacron", ["/etc/anacrontab"])
    assert root.survey()["unknown"] == []


CRON = "/etc/cron.d/lists"
RUN = "*/5 * * * *"


@pytest.mark.parametrize(
    "line, shown",
    [
        # Without a user, who would be asked for the first word of what follows.
        (f"{RUN} mysqldump S3CRET shop", f"{RUN} ..."),
        (f"{RUN} /usr/bin/mysql S3CRET", f"{RUN} ..."),
        (f"{RUN} S3CRET", f"{RUN} ..."),
        (f"{RUN} PW=S3CRET S3CRET", f"{RUN} ..."),
        (f"{RUN} S3CRET S3CRET /usr/bin/php", f"{RUN} ..."),
        (f"{RUN} root%S3CRET S3CRET", f"{RUN} ..."),
        (f"{RUN} mysql S3CRET < /x", f"{RUN} ..."),
        (f"{RUN} mysql {'S3CRET' * 60} < /x", f"{RUN} ..."),
        (f"{RUN} mysql mysql S3CRET < /x", f"{RUN} mysql ... < ... (user mysql)"),
        (f"{RUN} mysql /usr/bin/mysql -pS3CRET", f"{RUN} /usr/bin/mysql -p... (user mysql)"),
        # Without one of the five times.
        ("5 4 * * root S3CRET S3CRET", "..."),
        ("5 4 * * app S3CRET S3CRET", "..."),
        ("@S3CRET root S3CRET", "..."),
        ("0 4 1,15 jan-mar Mon,wed root run S3CRET", "0 4 1,15 jan-mar Mon,wed run ... (user root)"),
        # What stands behind a percent sign is read by the command.
        (f"{RUN} root mail ops%S3CRET%S3CRET", f"{RUN} mail ... (user root)"),
        (f"{RUN} root mail 'ops%S3CRET ; S3CRET'", f"{RUN} mail ... (user root)"),
        (f"{RUN} root dump \\\\% ; S3CRET", f"{RUN} dump (user root)"),
        (f"{RUN} root dump \\% ; load S3CRET", f"{RUN} dump ... ; load ... (user root)"),
        (f"{RUN} root %S3CRET ; S3CRET", f"{RUN} (user root)"),
        # Variables start nothing.
        ("MAILTO=S3CRET", None),
        ("MAILTO = 'S3CRET; S3CRET'", None),
        ('"MAILTO" = "S3CRET a b c d e f"', None),
        ("'PW'=\"S3CRET 5 * * * * root S3CRET\"", None),
        ("PW.old = 5 * * * * root S3CRET", None),
        ("\"PW' = S3CRET", "..."),
    ],
)
def test_of_a_line_of_a_crontab_nothing_is_told_that_may_be_a_secret(root, line, shown):
    root.write("/etc/passwd", "root:x:0:0::/root:/bin/bash\nmysql:x:104:104::/nonexistent:/bin/false\n")
    for name in ("mysql", "mail", "run", "dump", "load"):
        root.write(f"/usr/bin/{name}")
    root.write(CRON, f"{line}\n")
    assert root.survey()["unknown"] == ([f"cron {CRON}: {shown}"] if shown else [])


def test_a_job_of_anacron_without_a_name_is_not_told(root):
    root.write("/etc/anacrontab", "1 5 /srv/dump S3CRET\n1 5 mysql S3CRET\n@S3CRET 5 job x\n1 5 job mysql S3CRET\n")
    root.write("/usr/bin/mysql")
    assert root.survey()["unknown"] == [
        "cron /etc/anacrontab: 1 5 ... (user root)",
        "cron /etc/anacrontab: 1 5 ... (user root)",
        "cron /etc/anacrontab: ...",
        "cron /etc/anacrontab: 1 5 mysql ... (user root)",
    ]
