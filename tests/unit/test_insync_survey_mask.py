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


@pytest.mark.parametrize(
    "line, shown",
    [
        ("/usr/local/bin/backup", "/usr/local/bin/backup"),
        (
            "cd /srv && MYSQL_PWD=hunter2 mysqldump -phunter2 shop | gzip > /srv/hunter2",
            "cd ... && MYSQL_PWD=... mysqldump -p... ... | gzip > ...",
        ),
        ('curl -H "Authorization: Bearer hunter2" https://a/hunter2', "curl -H ..."),
        ("echo hunter2; exec nice /opt/x --key=hunter2", "echo ... ; exec nice /opt/x --key=..."),
        ("sh -c 'hunter2 and more'", "sh -c ..."),
        ('unclosed "hunter2 quote', "unclosed ..."),
        ("$(hunter2) `hunter2`", None),
        ("cmd # hunter2", "cmd ..."),
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
    told = insync_survey_mask.shell(line, lambda path: path == "/srv/job.py")
    # In a subshell it stands where a program does; an option's name is one too.
    assert shown is None or ("hunter2" not in told and told == shown)


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
        ("https://user:hunter2@host.example:8080/hunter2?x", "https://host.example:8080"),
        ("http://unix:/run/hunter2.sock", "http://unix:"),
        ("backend", "..."),
        ("http://$hunter2", "http://..."),
    ],
)
def test_of_a_url_scheme_and_host_are_told(text, shown):
    assert insync_survey_mask.url(text) == shown
