"""The survey of a server that exists as files only: what it finds, what is declared, and what it keeps to itself."""

import base64
import hashlib
import json
import subprocess
import sys

import insync_survey
import pytest

from tests.unit.survey_server import MANAGED, sqlite

# Whoever finds one of these in an answer has found a leak.
SECRETS = ["hunter2", "Sw0rdfish", "tok3n", "s3cr3t", "k3y", "S3CRET"]


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
    for program in ("php", "mysql", "sync-all", "app"):
        root.write(f"/usr/bin/{program}")
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
        "site email.example www.email.example of nginx, in /etc/nginx/sites-enabled/old, to http://...",
        "site sendy.example of apache, in /etc/apache2/sites-enabled/x.conf, root /var/www/sendy",
        "database sendy-lists of mysql, 1 kB, /var/lib/mysql/sendy@002dlists",
        "database lists.data of sqlite, 8.19 kB, /srv/lists.data",
        "virtualenv /srv/venv: 1 packages",
        "configuration /etc/default/cron of cron: changed",
        "configuration /etc/gone of cron: missing",
        "apt source https://... stable of Example Inc, in /etc/apt/sources.list.d/x.list",
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


def test_what_our_states_made_is_declared_and_what_stands_beside_it_is_not(root):
    root.write(MANAGED, "# Managed by Salt.\n[Service]\nExecStart=/opt/devpi/bin/x\nStateDirectory=devpi\n")
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


def test_what_fails_is_told_and_the_rest_goes_on(by_hand, monkeypatch):
    def broken(system, files, venvs):
        raise ValueError("hunter2")

    monkeypatch.setitem(insync_survey.SECTIONS, "cron", broken)
    found = by_hand.survey()
    assert found["incomplete"] == ["cron: ValueError"]
    assert found["found"]["cron"] == [] and found["found"]["databases"]


def test_as_a_program_it_reads_what_is_declared_and_prints_what_it_found(root):
    root.write("/etc/cron.d/report", "0 1 * * * root /opt/report\n")
    command = [sys.executable, "-B", insync_survey.__file__, root.path]
    done = subprocess.run(command, input='{"known": {}}', capture_output=True, text=True, check=True, timeout=60)
    found = json.loads(done.stdout)
    assert set(found) == {"when", "seconds", "found", "unknown", "missing", "incomplete"}
    assert any("report" in line for line in found["unknown"])
