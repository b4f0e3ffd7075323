"""The survey of a server that exists as files only: what it finds, what is declared, and what it keeps to itself."""

import base64
import hashlib
import json
import socket
import sqlite3
import struct
import subprocess
import sys

import insync_survey
import insync_survey_lines
import insync_survey_mask
import insync_survey_people
import insync_survey_plan
import insync_survey_sockets
import insync_survey_system
import insync_survey_web
import pytest

# Whoever finds one of these in an answer has found a leak.
SECRETS = ["hunter2", "Sw0rdfish", "tok3n", "s3cr3t", "k3y", "S3CRET"]
MANAGED = "/etc/systemd/system/devpi.service"


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


@pytest.fixture
def root(tmp_path):
    """A server's files; ``write(name, text)`` adds one."""

    class Root:
        path = tmp_path / "root"

        def write(self, name, text="", mode=0o644):
            path = self.path / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(mode)
            return path

        def link(self, name, target):
            path = self.path / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)

        def package(self, name, files, conffiles=()):
            self.write(f"/var/lib/dpkg/info/{name}:amd64.list", "".join(f"{file}\n" for file in files))
            digest = hashlib.md5(b"as it came\n").hexdigest()
            lines = "".join(f"\n {file} {digest}" for file in conffiles)
            status = self.path / "var/lib/dpkg/status"
            before = status.read_text() if status.exists() else ""
            status.write_text(
                f"{before}Package: {name}\nStatus: install ok installed\nConffiles:{lines}\nVersion: 1\n\n"
            )

        def survey(self, **plan):
            return insync_survey.survey(plan, self.path)

    made = Root()
    made.write("/etc/passwd", "root:x:0:0::/root:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n")
    return made


def test_on_a_server_as_packages_make_it_nothing_is_unknown(root):
    nginx = [
        "/lib/systemd/system/nginx.service",
        "/etc/cron.d/nginx",
        "/etc/nginx/sites-available/default",
        "/var/lib/nginx",
    ]
    root.package("nginx", [*nginx, "/etc/nginx/nginx.conf"], conffiles=["/etc/nginx/nginx.conf"])
    for name in (*nginx[:2], "/etc/nginx/nginx.conf"):
        root.write(name, "as it came\n")
    root.write(nginx[2], "server {\n  listen 80;\n  server_name _;\n}\n")
    root.link("/etc/nginx/sites-enabled/default", "../sites-available/default")
    root.link("/etc/systemd/system/multi-user.target.wants/nginx.service", "/lib/systemd/system/nginx.service")
    root.link("/etc/systemd/system/www.service", "/lib/systemd/system/nginx.service")
    root.link("/etc/systemd/system/console-getty.service", "/dev/null")
    (root.path / "var/lib/nginx").mkdir(parents=True)
    sqlite(root, "/var/lib/nginx/cache.db")
    found = root.survey()
    assert (found["unknown"], found["missing"], found["incomplete"]) == ([], [], [])
    assert [site["by"] for site in found["found"]["sites"]] == ["package nginx"]
    assert [row["by"] for row in found["found"]["databases"]] == ["package nginx"]


def sqlite(root, name):
    path = root.path / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE subscribers (mail TEXT DEFAULT 's3cr3t')")
    connection.close()


@pytest.fixture
def by_hand(root):
    """A server on which somebody did one thing of every kind, with a secret in most."""
    root.package("cron", ["/etc/cron.d/e2scrub", "/etc/default/cron"], conffiles=["/etc/default/cron", "/etc/gone"])
    root.write("/etc/default/cron", "PASSWORD=hunter2\n")
    root.write("/etc/cron.d/e2scrub", "0 0 * * * root /sbin/e2scrub\n")
    root.write(
        "/etc/systemd/system/tracker.service",
        "[Service]\nEnvironment=KEY=tok3n\nExecStart=-/opt/tracker/run --token=tok3n hunter2\n",
    )
    root.write(
        "/etc/systemd/system/app.service",
        "[Service]\nExecStart=/old S3CRET\nExecStart=\nEnvironment=KEY=S3CRET\n"
        "ExecStart = -/usr/bin/app --api-key=k3y|S3CRET-part \\\n# S3CRET\n  --url http://h/?x=1&t0ken-S3CRET;S3CRET\n",
    )
    root.write("/etc/systemd/system/ssh.service.d/own.conf", "[Service]\nEnvironment=KEY=tok3n\n")
    root.write("/etc/init.d/legacy", "#!/bin/sh\n# hunter2\n", 0o755)
    root.write("/etc/rc.local", "#!/bin/sh\n/opt/x hunter2\n", 0o755)
    root.write(
        "/etc/cron.d/lists",
        "MAILTO=hunter2\n# hunter2\n*/5 * * * * www-data PW=hunter2 /usr/bin/php /srv/send.php /srv/tok3n -ptok3n\n"
        "@reboot\troot\tsync-all S3CRET\n@daily root app '|' S3CRET\n",
    )
    root.write(
        "/var/spool/cron/crontabs/root",
        "@daily mysql -u root -phunter2 < /x%hunter2\nfoo hunter2 bar s3cr3t qux tok3n\n",
    )
    root.write("/srv/send.php")
    root.write("/etc/cron.daily/dump", "#!/bin/sh\nhunter2\n", 0o755)
    root.write(
        "/etc/nginx/sites-enabled/old",
        "server {\n listen 443 ssl;\n server_name email.example www.email.example;\n root /srv/www;\n"
        " auth_basic hunter2;\n location / { proxy_pass http://u:hunter2@127.0.0.1:9000/tok3n; }\n}\n",
    )
    root.write(
        "/etc/apache2/sites-enabled/x.conf",
        '<VirtualHost *:80>\n ServerName sendy.example\n DocumentRoot "/var/www/sendy"\n SetEnv PW hunter2\n'
        "</VirtualHost>\n",
    )
    root.write("/var/lib/mysql/sendy@002dlists/x.ibd", "x" * 1000)
    root.write("/var/lib/mysql/mysql/x.ibd", "hunter2")
    sqlite(root, "/srv/lists.data")
    root.write("/srv/venv/pyvenv.cfg", "version = 3.11.2\n")
    root.write("/srv/venv/lib/python3.11/site-packages/flask-3.0.0.dist-info/METADATA")
    root.write(
        "/etc/apt/sources.list.d/x.list", "deb [arch=amd64] https://u:hunter2@packages.example/tok3n stable main\n"
    )
    root.write("/var/lib/apt/lists/packages.example_tok3n_dists_stable_InRelease", "Origin: Example Inc\n")
    with (root.path / "etc/passwd").open("a") as file:
        file.write("mallory:x:1000:1000:hunter2:/home/mallory:/bin/bash\ntoor:x:0:0::/:/bin/sh\n")
    key = "AAAAC3NzaC1lZDI1NTE5AAAAIGx" + "A" * 41
    root.write("/home/mallory/.ssh/authorized_keys", f'command="hunter2" ssh-ed25519 {key} Sw0rdfish\n# hunter2\n')
    with (root.write("/srv/large/blob")).open("wb") as file:
        file.truncate(150_000_000)
    return root


def test_what_somebody_did_by_hand_is_all_reported(by_hand):
    assert by_hand.survey()["unknown"] == [
        "unit /etc/systemd/system/app.service: /usr/bin/app --api-key=... --url ...",
        "unit /etc/systemd/system/tracker.service: /opt/tracker/run --token=... ...",
        "unit /etc/systemd/system/ssh.service.d/own.conf: drop-in",
        "unit /etc/init.d/legacy: init script",
        "unit /etc/rc.local: init script",
        "cron /etc/cron.d/lists: */5 * * * * PW=... /usr/bin/php /srv/send.php ... -p... (user www-data)",
        "cron /etc/cron.d/lists: @reboot sync-all ... (user root)",
        "cron /etc/cron.d/lists: @daily app ... (user root)",
        "cron /var/spool/cron/crontabs/root: @daily mysql -u ... -p... < ... (user root)",
        "cron /var/spool/cron/crontabs/root: ... (user root)",
        "cron /etc/cron.daily/dump: a script",
        "site email.example www.email.example of nginx, in /etc/nginx/sites-enabled/old, to http://127.0.0.1:9000",
        "site sendy.example of apache, in /etc/apache2/sites-enabled/x.conf, root /var/www/sendy",
        "database sendy-lists of mysql, 1 kB, /var/lib/mysql/sendy@002dlists",
        "database lists.data of sqlite, 8.19 kB, /srv/lists.data",
        "virtualenv /srv/venv: 1 packages",
        "configuration /etc/default/cron of cron: changed",
        "configuration /etc/gone of cron: missing",
        "apt source https://packages.example stable of Example Inc, in /etc/apt/sources.list.d/x.list",
        "folder /srv/large: 150 MB",
        "user mallory: uid 1000, /bin/bash",
        "user toor: uid 0, /bin/sh",
        "keys /home/mallory/.ssh/authorized_keys: ssh-ed25519 SHA256:" + fingerprint(),
    ]


def fingerprint():
    raw = base64.b64decode("AAAAC3NzaC1lZDI1NTE5AAAAIGx" + "A" * 41)
    return base64.b64encode(hashlib.sha256(raw).digest()).decode().rstrip("=")


def test_no_secret_is_told(by_hand):
    said = json.dumps(by_hand.survey())
    planted = "".join(path.read_text(errors="ignore") for path in by_hand.path.rglob("*") if path.is_file())
    assert all(secret in planted for secret in SECRETS)
    assert [secret for secret in SECRETS if secret in said] == []


def test_nothing_is_written(by_hand):
    def state():
        # Not when somebody last read it.
        kept = ("st_mode", "st_ino", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_ctime_ns")
        return {path: [getattr(path.lstat(), key) for key in kept] for path in by_hand.path.rglob("*")}

    before = state()
    by_hand.survey()
    assert state() == before


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


def test_what_our_states_made_is_declared_and_what_stands_beside_it_is_not(root):
    root.write(MANAGED, "[Service]\nExecStart=/opt/devpi/bin/x\nStateDirectory=devpi\n")
    root.write("/etc/systemd/system/devpi2.service", "[Service]\nExecStart=/x\n")
    for name in ("/opt/devpi-0123456789ab/pyvenv.cfg", "/opt/devpi-by-hand/pyvenv.cfg", "/opt/devpi2/pyvenv.cfg"):
        root.write(name)
    sqlite(root, "/var/lib/devpi/server/.sqlite")
    sqlite(root, "/var/lib/devpi-old/.sqlite")
    root.write("/etc/cron.d/agent-1", "* * * * * root /x\n")
    found = root.survey(files=[MANAGED], places=["/opt/devpi"], known={"/etc/cron.d/agent-*": "the provider's"})
    assert found["unknown"] == [
        "unit /etc/systemd/system/devpi2.service: /x",
        "database .sqlite of sqlite, 8.19 kB, /var/lib/devpi-old/.sqlite",
        "virtualenv /opt/devpi-by-hand: 0 packages",
        "virtualenv /opt/devpi2: 0 packages",
    ]
    assert found["found"]["cron"][0]["by"] == "known: the provider's"


@pytest.mark.parametrize(
    "folder",
    [
        "/usr/lib/systemd/system",
        "/usr/local/lib/systemd/system",
        "/usr/lib/systemd/user",
        "/root/.config/systemd/user",
        "/home/alice/.local/share/systemd/user",
    ],
)
def test_units_that_no_package_brings_are_found_wherever_systemd_reads_them(root, folder):
    root.package("cron", [f"{folder}/cron.service", f"{folder}/cron.service.d/a.conf"])
    for name in ("cron.service", "own.service"):
        root.write(f"{folder}/{name}", "[Service]\nExecStart=/x\n")
        root.write(f"{folder}/{name}.d/a.conf")
    root.link(f"{folder}/default.target.wants/own.service", "../own.service")
    assert root.survey()["unknown"] == [
        f"unit {folder}/own.service: starts at boot, /x",
        f"unit {folder}/own.service.d/a.conf: drop-in",
    ]


@pytest.mark.parametrize("merged", [True, False])
def test_a_unit_in_lib_is_told_once_whether_or_not_that_is_a_link(root, merged):
    if merged:
        root.link("/lib", "usr/lib")
    own = "/usr/lib/systemd/system" if merged else "/lib/systemd/system"
    root.package("cron", ["/lib/systemd/system/cron.service"])
    for name in ("cron", "own"):
        root.write(f"{own}/{name}.service", "[Service]\nExecStart=/x\n")
    assert root.survey()["unknown"] == [f"unit {own}/own.service: /x"]


def test_what_anacron_does_is_found(root):
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
    root.write("/usr/bin/mysql")
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


def test_sites_on_one_line_have_names_and_what_is_quoted_or_a_comment_is_none(root):
    root.write(
        "/etc/nginx/conf.d/x.conf",
        "upstream b { server 10.0.0.1:1; } server { listen 80; server_name a.b; root /srv/a; }"
        " # server { server_name S3CRET;\n"
        "server { listen 81; server_name c.d e.f; # it's root /S3CRET;\n  add_header X 'y; server_name S3CRET; {';\n"
        "  location / { proxy_pass http://127.0.0.1:9; } }\n",
    )
    found = root.survey()
    assert found["unknown"] == [
        "site a.b of nginx, in /etc/nginx/conf.d/x.conf, root /srv/a",
        "site c.d e.f of nginx, in /etc/nginx/conf.d/x.conf, to http://127.0.0.1:9",
    ]
    assert [site["listen"] for site in found["found"]["sites"]] == [["80"], ["81"]]


SERVER = "server { server_name %s; root /srv/www; }\n"
HOST = "<VirtualHost *:80>\n ServerName %s\n DocumentRoot /srv/www\n</VirtualHost>\n"


def test_what_a_web_server_includes_from_elsewhere_is_read_too(root):
    root.write(
        "/etc/nginx/nginx.conf",
        "http { include /srv/*/nginx.conf; include 'sites/own'; include ../shared/**.conf;\n"
        "# include /srv/S3CRET;\n include /srv/none/*.conf; }\n",
    )
    root.write("/srv/shop/nginx.conf", SERVER % "a.example" + "include /srv/shop/more/b;\n")
    root.write("/srv/shop/more/b", SERVER % "b.example" + "include /srv/shop/nginx.conf;")
    root.write("/etc/nginx/sites/own", SERVER % "c.example")
    root.write("/etc/shared/d.conf", SERVER % "d.example")
    root.write("/usr/local/nginx/conf/nginx.conf", SERVER % "e.example")
    root.write("/etc/apache2/apache2.conf", HOST % "f.example" + "IncludeOptional /srv/gone\nInclude sites/\n")
    root.write("/etc/apache2/sites/deep/g", HOST % "g.example")
    found = root.survey(files=["/etc/shared/d.conf"])
    assert found["incomplete"] == []
    assert sorted(found["unknown"]) == [
        "site a.example of nginx, in /srv/shop/nginx.conf, root /srv/www",
        "site b.example of nginx, in /srv/shop/more/b, root /srv/www",
        "site c.example of nginx, in /etc/nginx/sites/own, root /srv/www",
        "site e.example of nginx, in /usr/local/nginx/conf/nginx.conf, root /srv/www",
        "site f.example of apache, in /etc/apache2/apache2.conf, root /srv/www",
        "site g.example of apache, in /etc/apache2/sites/deep/g, root /srv/www",
    ]


@pytest.mark.parametrize(
    "name, text, told",
    [
        ("/etc/nginx/nginx.conf", "include /srv/gone;", "sites of nginx: /srv/gone is included, and not there"),
        ("/etc/nginx/nginx.conf", "include ../..;", "sites of nginx: an include that cannot be followed"),
        ("/etc/nginx/nginx.conf", "include /;", "sites of nginx: an include that cannot be followed"),
        ("/etc/nginx/nginx.conf", "include S3CRET$x;", "sites of nginx: an include that cannot be followed"),
        ("/etc/apache2/x.conf", "Include ${S3CRET}/x", "sites of apache: an include that cannot be followed"),
        ("/etc/caddy/Caddyfile", "S3CRET", "sites of caddy, in /etc/caddy/Caddyfile: not read"),
        ("/etc/lighttpd/lighttpd.conf", "S3CRET", "sites of lighttpd, in /etc/lighttpd/lighttpd.conf: not read"),
        ("/etc/haproxy/haproxy.cfg", "S3CRET", "sites of haproxy, in /etc/haproxy/haproxy.cfg: not read"),
    ],
)
def test_sites_that_are_not_read_are_told(root, name, text, told):
    root.package("server", [name])
    root.write(name, text)
    assert root.survey()["incomplete"] == [told]
    assert root.survey(files=[name])["incomplete"] == ([] if "not read" in told else [told])


def test_sites_in_very_many_files_are_cut_short(root, monkeypatch):
    monkeypatch.setattr(insync_survey_web, "FILES", 2)
    for number in range(3):
        root.write(f"/etc/nginx/conf.d/{number}", SERVER % f"{number}.example")
    found = root.survey()
    assert len(found["found"]["sites"]) == 2 and found["incomplete"] == ["sites of nginx: too many files"]


CLUSTER = "/var/lib/postgresql/15/main"


def postgresql(root, running):
    """A cluster with much in it, and a function that answers as psql does."""
    root.package("postgresql-common", ["/var/lib", "/var/lib/postgresql"])
    root.write(f"{CLUSTER}/PG_VERSION", "15\n")
    with root.write(f"{CLUSTER}/base").open("wb") as file:
        file.truncate(150_000_000)
    if running:
        root.write(f"{CLUSTER}/postmaster.pid", f"1\n{CLUSTER}\n2\n5433\n/run/pg\n\n")


@pytest.mark.parametrize(
    "running, answer, unknown",
    [
        (True, "postgres\t9\nshop\t2000\n", ["database shop of postgresql, 2 kB"]),
        (True, None, ["folder /var/lib/postgresql: 150 MB"]),
        (False, None, ["folder /var/lib/postgresql: 150 MB"]),
    ],
)
def test_a_postgresql_that_does_not_answer_is_told(root, monkeypatch, running, answer, unknown):
    postgresql(root, running)
    asked = []
    monkeypatch.setattr(
        insync_survey_system.System, "_answer", lambda _, command, seconds: asked.append(command) or answer
    )
    found = root.survey()
    assert found["unknown"] == unknown
    assert found["incomplete"] == ([] if answer else [f"databases of postgresql in {CLUSTER}: no answer"])
    assert any("5433" in command and "/run/pg" in command for command in asked) == running


@pytest.mark.parametrize(
    "folder, file, told",
    [
        ("/var/lib/mysql", "mysql/x.ibd", []),
        ("/var/lib/mysql", "dump", ["folder /var/lib/mysql: 150 MB"]),
        ("/var/lib/redis", "main/appendonly.aof", []),
        ("/var/lib/redis", "main/other", ["folder /var/lib/redis: 150 MB"]),
    ],
)
def test_a_large_folder_of_a_database_is_known_if_databases_are_found_there(root, folder, file, told):
    root.package("server", ["/var/lib", folder])
    with root.write(f"{folder}/{file}").open("wb") as opened:
        opened.truncate(150_000_000)
    assert root.survey()["unknown"] == told


def test_what_fails_is_told_and_the_rest_goes_on(by_hand, monkeypatch):
    def broken(system, files, venvs):
        raise ValueError("hunter2")

    monkeypatch.setitem(insync_survey.SECTIONS, "cron", broken)
    found = by_hand.survey()
    assert found["incomplete"] == ["cron: ValueError"]
    assert found["found"]["cron"] == [] and found["found"]["databases"]


def test_too_many_files_are_cut_short(root):
    for number in range(50):
        root.write(f"/srv/{number}")
    system = insync_survey_system.System(root.path)
    assert len(list(system.walk(["/srv"], entries=10))) == 10
    assert system.cut_short == ["/srv: too many files"]


def test_other_file_systems_and_links_are_not_followed(root, tmp_path):
    root.link("/srv/out", str(tmp_path))
    assert [entry.name for entry in insync_survey_system.System(root.path).walk(["/srv"])] == ["out"]


def test_who_logged_in_last(root):
    def record(kind, user, host, seconds):
        return struct.pack("<h2xi32s4s32s256s4xiii36x", kind, 1, b"", b"", user, host, 0, seconds, 0)

    data = record(7, b"alice", b"10.0.0.1", 60) + record(8, b"gone", b"", 61) + record(7, b"alice", b"10.0.0.1", 120)
    root.write("/var/log/wtmp").write_bytes(data + b"cut short")
    rows = insync_survey_people.logins(insync_survey_system.System(root.path))
    assert rows == [{"user": "alice", "when": "1970-01-01 00:02", "origin": "10.0.0.1"}]


def test_a_certificate_is_read_and_its_key_is_not(root):
    path = root.write("/etc/nginx/site.crt")
    key = path.with_name("key")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "30",
    ]
    options = ["-subj", "/CN=x", "-addext", "subjectAltName=DNS:a.example", "-keyout", key, "-out", path]
    subprocess.run([*command, *options], check=True, capture_output=True)
    path.write_text(path.read_text() + key.read_text())
    root.write("/etc/nginx/broken.pem", "hunter2")
    rows = root.survey()["found"]["certificates"]
    assert [(row["path"], row["names"], row["days"]) for row in rows] == [("/etc/nginx/site.crt", ["a.example"], 29)]


# Listeners, on this machine.

ALLOW = {"service": "web", "unit": "web@blue.service", "address": "10.0.0.1", "protocol": "tcp", "port": 8101}


def test_a_listener_and_who_is_connected_are_found():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        port = server.getsockname()[1]
        rows = insync_survey_sockets.listeners(insync_survey_system.System())
    (row,) = [row for row in rows if row["port"] == port]
    assert (row["protocol"], row["address"], row["peers"]) == ("tcp", "127.0.0.1", {"127.0.0.1": 1})
    assert "python" in row["process"] and row["user"] == "root" and row["deleted"] is False


def test_a_socket_of_a_unit_is_the_units_and_not_systemds(monkeypatch):
    table = "0.0.0.0:80 web.socket web.service\n[::]:81 six.socket -\n/run/x x.socket x.service\n"
    monkeypatch.setattr(insync_survey_system.System, "run", lambda *_, **__: table)
    found = insync_survey_sockets._of_systemd(insync_survey_system.System())
    assert found == {("0.0.0.0", 80): "web.socket", ("::", 81): "six.socket"}


def test_a_process_that_ends_while_it_is_asked_about_is_looked_for_again(monkeypatch):
    looks, real = [], insync_survey_sockets._processes

    def processes(inodes):
        looks.append(inodes)
        return real(inodes) if len(looks) > 1 else {}

    monkeypatch.setattr(insync_survey_sockets, "_processes", processes)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        rows = insync_survey_sockets.listeners(insync_survey_system.System())
    (row,) = [row for row in rows if row["port"] == port]
    assert "python" in row["process"] and len(looks) > 1


def test_a_program_on_a_servers_own_port_is_not_taken_for_its_service():
    system = insync_survey_system.System(plan={"allow": [ALLOW]})
    row = {"protocol": "tcp", "port": 8101, "address": "10.0.0.1"}
    assert insync_survey_sockets._declared(system, row, {"unit": "web@blue.service"}) == {"by": "service web"}
    expected = {"by": "", "instead_of": "web@blue.service"}
    assert insync_survey_sockets._declared(system, row, {"unit": "other.service"}) == expected
    assert insync_survey_sockets._declared(system, {**row, "port": 1}, {"unit": "web@blue.service"}) == {"by": ""}
    assert insync_survey_sockets._declared(system, {**row, "address": "127.0.0.1"}, {"unit": ""})["by"] == ""


PUBLIC = {**ALLOW, "service": "hg-https", "address": "192.0.2.1"}


@pytest.mark.parametrize(
    "address, by",
    [
        ("10.0.0.1", "service web"),
        ("192.0.2.1", "service hg-https"),
        ("0.0.0.0", "service web, hg-https"),
        ("::", "service web, hg-https"),
        ("10.0.0.9", ""),
        ("127.0.0.1", ""),
    ],
)
def test_two_services_of_a_unit_and_a_port_are_told_apart_by_their_addresses(address, by):
    system = insync_survey_system.System(plan={"allow": [ALLOW, PUBLIC]})
    row = {"protocol": "tcp", "port": 8101, "address": address}
    declared = insync_survey_sockets._declared(system, row, {"unit": ALLOW["unit"]})
    assert declared == {"by": by}
    missing = insync_survey_lines.missing({"listeners": [declared]}, system.plan)
    assert [f"of {one['service']}:" for one in (ALLOW, PUBLIC) if one["service"] not in by] == [
        line.partition(" ")[2].rpartition(" web@")[0] for line in missing
    ]


@pytest.mark.parametrize(
    "process, by",
    [
        ({"unit": "cron.service", "package": "cron"}, "package cron"),
        ({"unit": "cron.service", "package": "python3.11-minimal"}, ""),
        ({"unit": "cron.service", "package": "python3.11-minimal", "script": "/srv/by-hand.py"}, ""),
        ({"unit": "cron.service", "package": ""}, ""),
        ({"unit": "rc-local.service", "package": "python3.11-minimal"}, ""),
        ({"unit": "nginx.service", "package": "nginx"}, "package nginx-common"),
        ({"unit": "certbot.service", "package": "python3.11-minimal", "script": "/usr/bin/certbot"}, "package certbot"),
        ({"unit": "postgresql@15-main.service", "package": "postgresql-15"}, "package postgresql-common"),
        ({"unit": "postgresql@15-main.service", "package": "python3.11-minimal"}, ""),
        ({"unit": "devpi.service", "package": ""}, "salt"),
        ({"unit": "mariadb.service", "package": "python3.11-minimal"}, "salt"),
        ({"unit": "agent.service", "package": ""}, "known: the provider's"),
        ({"unit": "tracker.service", "package": ""}, ""),
        ({"unit": "session-1.scope", "package": "python3.11-minimal"}, ""),
        ({"unit": "", "package": "cron"}, ""),
    ],
)
def test_on_loopback_only_a_units_own_program_is_known(root, process, by):
    for package, unit, *others in (
        ("cron", "cron.service"),
        ("systemd", "rc-local.service"),
        ("nginx-common", "nginx.service"),
        ("certbot", "certbot.service", "/usr/bin/certbot"),
        ("postgresql-common", "postgresql@.service"),
        ("mariadb-server", "mariadb.service"),
    ):
        name = f"/lib/systemd/system/{unit}"
        root.package(package, [name, *others])
        root.write(f"/usr{name}")
    for name in (MANAGED, "/etc/systemd/system/agent.service", "/etc/systemd/system/tracker.service"):
        root.write(name)
    status = root.path / "var/lib/dpkg/status"
    status.write_text(
        status.read_text().replace("Package: nginx-common\n", "Package: nginx-common\nSource: nginx (1)\n")
    )
    known = {"/etc/systemd/system/agent.service": "the provider's"}
    plan = {"files": [MANAGED], "units": ["mariadb.service"], "known": known}
    system = insync_survey_system.System(root.path, plan)
    row = {"protocol": "tcp", "port": 1, "address": "127.0.0.1"}
    assert insync_survey_sockets._declared(system, row, {"script": "", **process}) == {"by": by}


@pytest.mark.parametrize(
    "cgroups, unit",
    [
        ("0::/system.slice/ssh.service\n", "ssh.service"),
        (
            "1:name=systemd:/libpod_parent/libpod-0a/system.slice/system-redis.slice/redis@main.service\n",
            "redis@main.service",
        ),
        ("0::/user.slice/user-0.slice/session-3.scope", "session-3.scope"),
        ("0::/libpod_parent/libpod-0a.scope\n4:memory:/system.slice/x.service\n", ""),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/own.service", "own.service"),
    ],
)
def test_the_unit_of_a_process(cgroups, unit):
    assert insync_survey_sockets.unit_of(cgroups) == unit


def listener(port, by):
    row = {"protocol": "tcp", "address": "10.0.0.1", "port": port, "process": "/x", "user": "u", "unit": "x.service"}
    return {**row, "package": "", "deleted": True, "peers": {"10.0.0.2": 3, "10.0.0.3": 1}, "by": by}


def test_a_listener_tells_who_is_connected():
    said = insync_survey_lines.line("listeners", listener(80, ""), {"10.0.0.2": "web02"})
    assert said == (
        "listener tcp 10.0.0.1:80: /x (unit x.service, of no package, user u, its program was removed)"
        "; connected: web02, 10.0.0.3"
    )


@pytest.mark.parametrize(
    "served, missing",
    [
        (["web-blue"], ["tcp/22 of ssh: ssh.service does not listen"]),
        (["web-green", "ssh"], []),
        (
            ["ssh"],
            [
                f"tcp/{port} of web-{slot}: web@{slot}.service does not listen"
                for slot, port in (("blue", 1), ("green", 2))
            ],
        ),
    ],
)
def test_of_the_slots_of_a_pool_one_has_to_listen(served, missing):
    slots = {"blue": 1, "green": 2}
    allow = [{**ALLOW, "service": "ssh", "unit": "ssh.service", "port": 22}]
    allow += [{**ALLOW, "service": f"web-{slot}", "unit": f"web@{slot}.service", "port": slots[slot]} for slot in slots]
    found = {"listeners": [listener(1, f"service {name}") for name in served]}
    assert insync_survey_lines.missing(found, {"allow": allow, "slots": {"web": slots}}) == missing


# What is declared.

HIGH = {
    "devpi-unit": {"file": [{"name": MANAGED}, {"contents": "hunter2"}, "managed"], "__sls__": "devpi"},
    "devpi-old": {"file": ["absent", {"names": ["/etc/systemd/system/old.service", "/etc/cron.d/old"]}]},
    "devpi-folder": {"file": [{"name": "/var/lib/devpi"}, "directory"]},
    "devpi-etc": {"file": [{"name": "/etc/insync"}, "directory"]},
    "devpi-program": {"insync_venv": [{"name": "/opt/devpi"}, "installed"]},
    "devpi-program-gone": {"insync_venv": [{"name": "/opt/gone"}, "absent"]},
    "devpi-files": {"file": [{"names": ["/etc/a", {"/etc/b": [{"mode": "0600"}]}]}, "managed"]},
    "redis-service": {"insync_unit": [{"names": ["redis-server@main", "certbot.timer"]}, "running"]},
    "redis-old": {"service": [{"name": "redis-server"}, "dead"]},
    "devpi-user": {"user": [{"name": "devpi"}, {"home": "/home"}, "present"]},
    "devpi-leaver": {"user": [{"name": "mallory"}, "absent"]},
    "mariadb-databases": {"insync_mysql": [{"name": "/run/x.sock"}, {"databases": ["shop"]}, "databases"]},
    "__extend__": [],
}


def test_what_states_say_is_declared_and_what_they_remove_is_not():
    plan = insync_survey_plan.plan(HIGH, [{**ALLOW, "sources": ["world"]}], {}, {"/x": "y"})
    assert "hunter2" not in json.dumps(plan)
    assert plan == {
        "allow": [ALLOW],
        "slots": {},
        "known": {"/x": "y"},
        "files": ["/etc/a", "/etc/b", "/etc/insync", MANAGED, "/var/lib/devpi"],
        "gone": ["/etc/cron.d/old", "/etc/systemd/system/old.service"],
        "places": ["/opt/devpi", "/run/x.sock", "/var/lib/devpi"],
        "units": ["certbot.timer", "redis-server@main.service"],
        "users": ["devpi", "root"],
        "databases": ["shop"],
    }


def test_as_a_program_it_reads_what_is_declared_and_prints_what_it_found():
    command = [sys.executable, "-B", insync_survey.__file__]
    done = subprocess.run(command, input='{"known": {}}', capture_output=True, text=True, check=True, timeout=60)
    assert set(json.loads(done.stdout)) == {"when", "seconds", "found", "unknown", "missing", "incomplete"}
