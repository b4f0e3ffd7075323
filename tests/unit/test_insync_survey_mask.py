"""What the survey may tell of a command or a URL, and what it keeps to itself."""

import insync_survey_mask
import pytest


@pytest.mark.parametrize(
    "exe, argv, shown",
    [
        ("/usr/sbin/nginx", "nginx: master process -g hunter2;", "/usr/sbin/nginx ... -g ..."),
        ("/usr/bin/curl", "curl -uadmin:hunter2 --user=a:hunter2 --proxy http://x:hunter2@y", None),
        (
            "/usr/bin/mysqldump",
            "mysqldump -phunter2 -h db --password hunter2 shop",
            "/usr/bin/mysqldump -p... -h ... --password ...",
        ),
        ("/usr/bin/python3.11", "python3 /srv/job.py hunter2", "/usr/bin/python3.11 /srv/job.py ..."),
        (
            "/usr/bin/python3.11",
            "python3 -m http.server --bind hunter2",
            "/usr/bin/python3.11 -m http.server --bind ...",
        ),
        ("/usr/bin/python3.11", "python3 -c hunter2", "/usr/bin/python3.11 -c ..."),
        ("/usr/bin/python3.11", "python3 hunter2.py", "/usr/bin/python3.11 ..."),
        ("/usr/bin/php8.2", "php --hunter2+x", "/usr/bin/php8.2 ..."),
        ("/opt/hunt/er", "x", "/opt/hunt/er"),
    ],
)
def test_of_a_process_its_program_and_the_names_of_its_options_are_told(exe, argv, shown):
    told = insync_survey_mask.command(argv.split(), exe, lambda path: path == "/srv/job.py")
    assert "hunter2" not in told
    assert told == shown or shown is None


THERE = {"/usr/local/bin/backup", "/srv/job.py", "/opt/x"}
THERE |= {f"/usr/bin/{name}" for name in ("mysqldump", "gzip", "curl", "echo", "sh", "unclosed", "cmd", "a", "b")}


@pytest.mark.parametrize(
    "line, shown",
    [
        ("/usr/local/bin/backup", "/usr/local/bin/backup"),
        (
            "cd /srv && MYSQL_PWD=hunter2 mysqldump -phunter2 shop | gzip > /srv/hunter2",
            "cd ... && ... mysqldump -p... ... | gzip > ...",
        ),
        ('curl -H "Authorization: Bearer hunter2" https://a/hunter2', "curl -H ..."),
        ("echo hunter2; exec nice /opt/x --key=hunter2", "echo ... ; exec nice /opt/x --key=..."),
        ("sh -c 'hunter2 and more'", "sh -c ..."),
        ('unclosed "hunter2 quote', "unclosed ..."),
        ("$(hunter2) `hunter2`", "... ( ... ) ..."),
        ("cmd # hunter2", "cmd"),
        ("MYSQL_PWD=hunter2 X=hunter2 mysqldump; HUNTER2=1 cmd", "MYSQL_PWD=... X=... mysqldump ; ... cmd"),
        ("/usr/local/bin/backup # password (hunter2)", "/usr/local/bin/backup"),
        ("/usr/local/bin/backup # it's pw was changed; hunter2", "/usr/local/bin/backup"),
        ("cmd;#hunter2", "cmd ;"),
        ("cmd http://h/#a;hunter2 '#' hunter2", "cmd ... ; ..."),
        ("curl http://h/?user=a;hunter2", "curl ... ; ..."),
        ('mysqldump -p"$(echo "a;hunter2;b")"', "mysqldump -p... ; ... ; ..."),
        ("X=(hunter2 b); cmd", "X=... ( ... ); cmd"),
        ("/usr/bin/removed hunter2", "..."),
        ("cmd '|' hunter2 \\; hunter2 \"a && hunter2\" | gzip", "cmd ... | gzip"),
        ("'/srv/no program' hunter2", "..."),
        ("curl -s http://h/?x=1&hunter2", "curl -s ... & ..."),
        ("/srv/job.py & /srv/job.py", "/srv/job.py & /srv/job.py"),
        (
            "[ hunter2 = hunter2 ] && exec sudo -p hunter2 /srv/job.py hunter2",
            "... && exec sudo -p ... /srv/job.py ...",
        ),
        ("a | b 'hunter2; hunter2", "a | b ..."),
    ],
)
def test_of_a_command_line_its_programs_are_told(line, shown):
    assert insync_survey_mask.shell(line, THERE.__contains__) == shown


@pytest.mark.parametrize(
    "line, shown",
    [
        (
            "/usr/bin/app --api-key=k3y|S3CRET-part --url http://h/?x=1&t0ken-S3CRET",
            "/usr/bin/app --api-key=... --url ...",
        ),
        ("/usr/bin/app ; /S3CRET (S3CRET) \\; S3CRET > S3CRET", "/usr/bin/app ..."),
        ("-@/usr/bin/python3 S3CRET /srv/job.py 'S3CRET S3CRET'", "/usr/bin/python3 /srv/job.py ..."),
        ("+!!/usr/bin/app -pS3CRET", "/usr/bin/app -p..."),
        ("|:/usr/bin/app", "/usr/bin/app"),
        ("/bin/sh -c '/usr/bin/app S3CRET | S3CRET'", "/bin/sh -c ..."),
        ("/usr/bin/app --key 'S3CRET | S3CRET", "/usr/bin/app --key ..."),
        ("/usr/bin/bash -m S3CRET", "/usr/bin/bash -m ..."),
        ("S3CRET=1", "..."),
        ("-", "..."),
    ],
)
def test_of_what_a_unit_starts_its_program_is_told(line, shown):
    told = insync_survey_mask.unit(line, lambda path: path == "/srv/job.py")
    assert told == shown


@pytest.mark.parametrize(
    "text, shown",
    [
        ("https://host.example:8080/hunter2?x", "https://host.example:8080"),
        ("https://[fe80::1]:8080/hunter2", "https://[fe80::1]:8080"),
        ("https://user:hunter2@host.example:8080/hunter2?x", "https://..."),
        ("http://svc:hunter2?@10.0.0.1", "http://..."),
        ("https://user:hunter2/x@host.example", "https://..."),
        ("https://user:p@hunter2", "https://..."),
        ("http://svc:hunter2", "http://..."),
        ("http://svc:123456", "http://..."),
        ("http://[hunter2/", "http://..."),
        ("http://unix:/run/hunter2.sock", "http://unix:"),
        ("backend", "..."),
        ("http://$hunter2", "http://..."),
    ],
)
def test_of_a_url_scheme_and_host_are_told(text, shown):
    assert insync_survey_mask.url(text) == shown
