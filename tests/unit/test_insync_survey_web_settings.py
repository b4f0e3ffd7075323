"""What a web server that runs was told to read is read as well, or it is told that it was not."""

import contextlib
import pathlib
import shutil
import subprocess

import insync_survey_certificates
import insync_survey_daemons
import insync_survey_system
import insync_survey_web
import insync_survey_web_settings
import pytest

SITE = "server {{ server_name {}; ssl_certificate tls/own.crt; }}\n"
HOST = "<VirtualHost *:80>\nServerName {}\n</VirtualHost>\n"


@contextlib.contextmanager
def running(folder, name):
    """A process of root whose program is called ``name``."""
    with subprocess.Popen([shutil.copy(shutil.which("sleep"), folder / name), "60"], cwd=folder) as process:
        try:
            yield process
        finally:
            process.kill()


def found(monkeypatch, process, words, title=None):
    """What is found while only ``process`` runs: (the sites in a temporary folder, what was not looked at)."""
    home = pathlib.Path("/proc", str(process.pid))
    real = insync_survey_daemons.processes
    monkeypatch.setattr(insync_survey_daemons, "processes", lambda one: [row for row in real(one) if row[0] == home])
    monkeypatch.setattr(insync_survey_daemons, "arguments", lambda _: [title] if title else words)
    system = insync_survey_system.System()
    rows = [row for row in insync_survey_web.sites(system) if row["path"].startswith("/tmp/")]
    return {(name, row["path"]) for row in rows for name in row["names"]}, set(system.cut_short)


NGINX = "nginx: master process /x/nginx {}"


@pytest.mark.parametrize(
    "name, words, title",
    [
        ("nginx", ["nginx", "-c", "{}/own/main.conf"], None),
        ("nginx", ["nginx", "-qc{}/own/main.conf"], None),
        ("nginx", [], NGINX.format("-c {}/own/main.conf")),
        ("nginx", [], NGINX.format("-g daemon on; master_process on; -c {}/own/main.conf")),
        ("web", [], NGINX.format("-p {} -c own/main.conf")),
        ("nginx", ["nginx", "-p", "{}/prefix"], None),
        ("apache2", ["apache2", "-k", "start", "-f", "{}/own/main.conf"], None),
        ("httpd", ["httpd", "-d", "{}", "-fown/main.conf"], None),
        ("apache2", ["/usr/sbin/apache2", "-d", "{}/apache"], None),
    ],
)
def test_the_settings_that_it_was_told_to_read_are_read(tmp_path, monkeypatch, name, words, title):
    text, include = (SITE, "include {};\n") if name in ("nginx", "web") else (HOST, "Include {}\n")
    for folder, file in (("own", "main.conf"), ("prefix/conf", "nginx.conf"), ("apache", "apache2.conf")):
        (tmp_path / folder / "more").mkdir(parents=True)
        (tmp_path / folder / file).write_text(text.format("private.example") + include.format("more/*"))
        (tmp_path / folder / "more/a").write_text(text.format("more.example"))
    words, title = [word.format(tmp_path) for word in words], title and title.format(tmp_path)
    # Names of Apache begin where it lives.
    if name == "apache2" and "-f" in words:
        (tmp_path / "own/main.conf").write_text(
            f"ServerRoot {tmp_path}/own\nInclude more/*\n{HOST.format('private.example')}"
        )
    if name == "httpd":
        (tmp_path / "more").mkdir()
        (tmp_path / "more/a").write_text(text.format("more.example"))
    with running(tmp_path, name) as process:
        sites, incomplete = found(monkeypatch, process, words, title)
    assert {site for site, _ in sites} == {"private.example", "more.example"} and len(sites) == 2
    assert incomplete == set()


def test_certificates_are_looked_for_beside_what_it_was_told_to_read(tmp_path, monkeypatch):
    (tmp_path / "main.conf").write_text(SITE.format("a.example"))
    told = "certificates of nginx: tls/own.crt is named, and not there"
    with running(tmp_path, "nginx") as process:
        found(monkeypatch, process, ["nginx", "-c", f"{tmp_path}/main.conf"])
        system = insync_survey_system.System()
        assert list(insync_survey_certificates._named(system, "nginx")) == [] and told in system.cut_short
        (tmp_path / "tls").mkdir()
        (tmp_path / "tls/own.crt").touch()
        named = insync_survey_certificates._named(insync_survey_system.System(), "nginx")
        assert list(named) == [f"{tmp_path}/tls/own.crt"]


UNSEEN = "sites of {}: one that runs has settings that the survey does not see"


@pytest.mark.parametrize(
    "name, words, told",
    [
        ("nginx", ["nginx", "-c", "/gone/S3CRET"], UNSEEN.format("nginx")),
        ("nginx", ["nginx", "-c", "/dev/zero"], UNSEEN.format("nginx")),
        ("nginx", ["nginx", "-c"], UNSEEN.format("nginx")),
        ("nginx", ["nginx", "--S3CRET"], UNSEEN.format("nginx")),
        ("nginx", ["nginx"], UNSEEN.format("nginx")),
        ("apache2", ["apache2", "-f/gone"], UNSEEN.format("apache")),
        ("nginx", ["nginx", "-c", "{}/main.conf", "-g", "include /S3CRET;"], UNSEEN.format("nginx")),
        ("httpd", ["httpd", "-f", "{}/main.conf", "-c", "Include /S3CRET"], UNSEEN.format("apache")),
        ("haproxy", ["haproxy", "-db", "-f", "{}/main.conf", "S3CRET"], "sites of haproxy, in {}/main.conf: not read"),
        ("haproxy", ["haproxy", "-f", "main.conf"], "sites of haproxy, in {}/main.conf: not read"),
        ("caddy", ["caddy", "run", "--config={}/main.conf"], "sites of caddy, in {}/main.conf: not read"),
        ("caddy", ["caddy", "S3CRET"], "sites of caddy: one runs, and its settings are not known"),
        ("lighttpd", ["lighttpd", "-D", "-f{}/main.conf"], "sites of lighttpd, in {}/main.conf: not read"),
    ],
)
def test_what_is_not_read_of_it_is_told(tmp_path, monkeypatch, name, words, told):
    (tmp_path / "main.conf").touch()
    with running(tmp_path, name) as process:
        sites, incomplete = found(monkeypatch, process, [word.format(tmp_path) for word in words])
    assert (sites, incomplete) == (set(), {told.format(tmp_path)})


def test_of_one_that_sees_other_files_or_is_not_roots_nothing_is_read(tmp_path, monkeypatch):
    (tmp_path / "main.conf").write_text(SITE.format("a.example"))
    words = ["nginx", "-c", f"{tmp_path}/main.conf"]
    with running(tmp_path, "nginx") as process:
        with monkeypatch.context() as patch:
            patch.setattr(insync_survey_daemons, "is_seen", lambda *_: False)
            assert found(patch, process, words) == (set(), {UNSEEN.format("nginx")})
        with monkeypatch.context() as patch:
            patch.setattr(insync_survey_daemons, "is_roots", lambda _: False)
            told = "sites of nginx: one runs whose user is not root, its settings are not read"
            assert found(patch, process, words) == (set(), {told})


def test_workers_that_are_not_roots_are_their_masters(tmp_path, monkeypatch):
    """As those of Apache, whose command line is the same."""
    with running(tmp_path, "apache2") as process:
        monkeypatch.setattr(insync_survey_daemons, "is_roots", lambda _: False)
        monkeypatch.setattr(insync_survey_daemons, "program", lambda _: f"{tmp_path}/apache2")
        assert found(monkeypatch, process, ["apache2"]) == (set(), set())


@pytest.mark.parametrize("words", [["nginx"], ["apache2", "-k", "start"], [NGINX.format("-g daemon on;")]])
def test_of_one_of_a_package_the_usual_settings_are_read(root, words):
    name = "apache2" if words[0] == "apache2" else "nginx"
    root.package(name, [f"/usr/sbin/{name}"])
    system = insync_survey_system.System(root.path)
    words = words[0].split() if len(words) == 1 else words
    server = {"apache2": "apache"}.get(name, name)
    assert list(insync_survey_web_settings._of_options(system, server, f"/usr/sbin/{name}", "/", words[1:])) == []
    assert system.cut_short == []
