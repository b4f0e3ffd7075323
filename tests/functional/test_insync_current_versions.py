"""The verbs of the current versions, with a `jt` that keeps its values in a file, and a real https server."""

import contextlib
import http.server
import json
import re
import ssl
import threading

import insync_ca
import insync_published
import insync_verb
import pytest
import salt.loader
import salt.minion
from salt.exceptions import CommandExecutionError, SaltInvocationError

from tests.functional.test_insync_declared_conf import conf_pillar, write_jt

OLD, NEW, NEWER = "3.9.6.60027", "3.9.7.60031", "3.9.8.60040"
SECRET = "n3w-s3cret"


class Site:
    """What clients see: the values that are loaded, and what is there for download."""

    def __init__(self, store, context):
        self.store, self.asked, self.stale, self.downloads = store, [], 0, {}
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                site.asked.append((self.path, self.headers["Range"]))
                status, headers, body = site.answer(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.name = f"localhost:{self.server.server_address[1]}"

    def answer(self, path):
        """(status, headers, body) of a request."""
        if path != "/api/told":
            return self.downloads.get(path.rsplit("-")[-1], (206, {}, b"M"))
        # Of three servers one has the new values at last.
        self.stale -= self.stale > 0
        told = {"mac": OLD} if self.stale % 3 == 1 else json.loads(self.store.read_text())["current_versions"]
        return 200, {}, json.dumps(told).encode()


@pytest.fixture(scope="module")
def authority():
    return insync_ca.make_authority("web CA", 30)


@pytest.fixture
def site(tmp_path, authority, monkeypatch):
    pair = insync_ca.issue(authority, ["localhost"], [], 30)
    for name, text in (("ca", authority.certificate), ("certificate", pair.certificate), ("key", pair.key)):
        (tmp_path / f"{name}.pem").write_text(text)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("no_proxy", "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    found = Site(tmp_path / "store.json", context)
    threading.Thread(target=found.server.serve_forever, args=(0.02,), daemon=True).start()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def jt(tmp_path, site):
    return write_jt(tmp_path, site.store)


@pytest.fixture
def pillar(tmp_path, site, jt):
    current = {name: {"current_version": name} for name in ("mac", "windows")}
    return {
        **conf_pillar(tmp_path, {"web": {"current_versions": current, "password": {"secret": "web:password"}}}),
        "current_versions": {
            "declared": {"mac": OLD, "windows": OLD},
            "downloads": {name: f"https://{site.name}/{name}/Insync-{{version}}" for name in ("mac", "windows")},
            "namespace": "web",
            "told_at": "/api/told",
        },
        "endpoints": {},
        "public_names": {"https": [site.name]},
        "secrets": {"web": {"password": SECRET}},
    }


@pytest.fixture
def records(tmp_path, monkeypatch):
    monkeypatch.setattr(insync_verb, "RECORDS", tmp_path / "records")
    monkeypatch.setattr(insync_verb, "LOCKS", tmp_path / "locks")
    monkeypatch.setattr(insync_published, "SECONDS", 0.3)
    monkeypatch.setattr(insync_published, "POLL", 0.02)
    return tmp_path / "records" / "versions"


@pytest.fixture
def verb(opts, tmp_path, pillar, records):
    """Call a verb of a minion whose master has the pillar as it is at that moment: ``verb("current_versions")``."""
    folder = tmp_path / "pillar"
    folder.mkdir()
    opts["pillar_roots"] = {"base": [str(folder)]}
    (folder / "top.sls").write_text('{"base": {"*": ["all"]}}')

    def _verb(name, *arguments, **keywords):
        (folder / "all.sls").write_text(json.dumps(pillar))
        modules = salt.loader.minion_mods(opts, utils=salt.loader.utils(opts))
        function = modules[f"insync.{name}"]
        typed = [*arguments, {"__kwarg__": True, **keywords}]
        called, told = salt.minion.load_args_and_kwargs(function, typed, {"user": "sudo_alice"})
        return function(*called, **told)

    _verb("conf_load")
    return _verb


def everything(records, site):
    """What is current and loaded, byte for byte."""
    return (records / "current.json").read_bytes(), site.store.read_bytes()


def history(records):
    return [json.loads(line) for line in (records / "history.jsonl").read_text().splitlines()]


def test_clients_are_told_at_once_and_who_did_it_is_kept(verb, records, site):
    told = {"mac": NEW, "windows": OLD}
    assert verb("set_current_version", "mac", NEW) == {"mac": {"old": OLD, "new": NEW}, "clients_see": told}
    assert json.loads(site.store.read_text()) == {"current_versions": told, "password": SECRET}
    assert (f"/mac/Insync-{NEW}", "bytes=0-0") in site.asked
    last = history(records)[-1]
    assert {key: last[key] for key in ("verb", "by", "end", "platform", "old", "new", "how")} == {
        "verb": f"insync.set_current_version mac {NEW}",
        "by": "sudo_alice",
        "end": "ok",
        **{"platform": "mac", "old": OLD, "new": NEW, "how": "set"},
    }
    assert SECRET not in (records / "history.jsonl").read_text()
    before = everything(records, site)
    assert verb("set_current_version", "mac", NEW) == {"clients_see": told}
    assert everything(records, site) == before
    assert verb("conf_load")["web"]["changes"] == {}, "what is loaded otherwise keeps it"


def test_a_newly_declared_one_wins_and_is_known_to_a_rollback(verb, pillar, records, site):
    verb("set_current_version", "mac", NEW)
    pillar["current_versions"]["declared"]["mac"] = NEWER
    assert verb("current_versions")["mac"]["version"] == NEWER
    changes = verb("conf_load")["web"]["changes"]
    assert changes == {"current_versions.mac": {"old": NEW, "new": NEWER}}
    assert (history(records)[-1]["how"], verb("current_versions")["mac"]["by"]) == ("declared", "sudo_alice")
    assert verb("rollback_version", "mac")["mac"] == {"old": NEWER, "new": NEW}
    assert verb("rollback_version", "mac")["mac"] == {"old": NEW, "new": OLD}, "further back each time"
    with pytest.raises(CommandExecutionError, match=f"^mac: nothing was current before {OLD}$"):
        verb("rollback_version", "mac")
    with pytest.raises(CommandExecutionError, match=f"^mac: {NEWER} was not current before$"):
        verb("rollback_version", "mac", NEWER)


def test_setting_what_was_just_declared_ends_what_was_set_before(verb, pillar):
    declared = pillar["current_versions"]["declared"]
    verb("set_current_version", "mac", NEW)
    declared["mac"] = NEWER
    assert "mac" not in verb("set_current_version", "mac", NEWER), "it was current already"
    declared["mac"] = OLD
    assert verb("current_versions")["mac"]["version"] == OLD


def test_test_mode_checks_and_changes_nothing(verb, records, site):
    before, lines = everything(records, site), len(history(records))
    told = {"mac": {"old": OLD, "new": NEW}, "clients_see": {"mac": OLD, "windows": OLD}}
    assert verb("set_current_version", "mac", NEW, test=True) == told
    site.downloads[NEW] = (404, {}, b"")
    with pytest.raises(CommandExecutionError, match="the answer is 404"):
        verb("set_current_version", "mac", NEW, test=True)
    assert (everything(records, site), len(history(records))) == (before, lines)


def test_what_is_current_is_shown_with_what_clients_see(verb, site):
    verb("set_current_version", "windows", NEW)
    shown = verb("current_versions")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]+\+00:00", shown["windows"].pop("since"))
    assert shown["windows"] == {
        "version": NEW,
        "declared": OLD,
        "by": "sudo_alice",
        "download": f"https://{site.name}/windows/Insync-{NEW}",
        "clients_see": NEW,
        "seen": True,
    }
    site.store.write_text(json.dumps({"current_versions": {"windows": NEWER}}))
    shown = verb("current_versions")
    assert [(shown[name]["clients_see"], shown[name]["seen"]) for name in ("windows", "mac")] == [
        (NEWER, False),
        ("nothing", False),
    ]
    site.answer = lambda path: (503, {}, b"no server")
    assert verb("current_versions")["mac"]["clients_see"] == "503 no server"


def test_all_servers_have_to_tell_it(verb, site):
    site.stale = 9
    asked = len(site.asked)
    assert verb("set_current_version", "mac", NEW)["clients_see"]["mac"] == NEW
    assert site.stale == 0 and len(site.asked) - asked > 1 + 9, "one that had it was not taken for all"


def test_what_clients_are_not_told_is_put_back(verb, records, site):
    verb("set_current_version", "mac", NEW)
    before, truth = everything(records, site), site.answer
    site.answer = lambda path: (200, {}, json.dumps({"mac": NEW}).encode()) if "told" in path else truth(path)
    said = (
        f"^clients are not told mac {NEWER} within 0.3 s: GET https://{site.name}/api/told: mac {NEW};"
        f" {NEW} is put back, nothing changed$"
    )
    with pytest.raises(CommandExecutionError, match=said):
        verb("set_current_version", "mac", NEWER)
    assert everything(records, site) == before
    assert history(records)[-1]["end"].startswith("clients are not told") and "new" not in history(records)[-1]
    site.answer = truth
    assert verb("rollback_version", "mac")["mac"]["new"] == OLD, "what never came to be is no former one"


def test_a_conf_server_that_is_away_changes_nothing(verb, records, site, jt):
    before = everything(records, site)
    there = jt.read_text()
    jt.write_text("#!/bin/sh\necho 'conf server unreachable' >&2\nexit 3\n")
    said = f"^conf server unreachable; {OLD} is put back, but the conf server may not have it; 'insync.conf_load' tells"
    with pytest.raises(CommandExecutionError, match=said):
        verb("set_current_version", "mac", NEW)
    assert everything(records, site) == before
    with pytest.raises(CommandExecutionError, match="^conf server unreachable$"):
        verb("set_current_version", "mac", NEW, test=True)
    jt.write_text(there)
    assert verb("set_current_version", "mac", NEW)["mac"]["new"] == NEW, "and again it works"


def test_a_run_that_was_killed_is_completed_by_the_next(verb, records, site):
    current = json.loads((records / "current.json").read_text())
    current["mac"]["version"] = NEW
    (records / "current.json").write_text(json.dumps(current))
    assert verb("set_current_version", "mac", NEW)["clients_see"]["mac"] == NEW
    assert verb("rollback_version", "mac")["mac"] == {"old": NEW, "new": OLD}


@pytest.mark.parametrize(
    "answer, why",
    [
        ((404, {}, b"none"), "the answer is 404"),
        ((403, {}, b"no"), "the answer is 403"),
        ((200, {}, b""), "it is empty"),
        ((206, {"Content-Length": "0"}, b""), "it is empty"),
        ((204, {}, b""), "the answer is 204"),
        ((302, {"Location": "http://localhost/x"}, b""), "it leads to http://localhost/x, which is not https"),
        ((302, {"Location": "/mac/Insync-1"}, b""), "the answer is 404"),
        ((302, {"Location": f"/mac/Insync-{NEW}"}, b""), "the answer is 302"),
    ],
)
def test_what_cannot_be_downloaded_is_refused(verb, records, site, answer, why):
    before = everything(records, site)
    site.downloads = {NEW: answer, "1": (404, {}, b"")}
    with pytest.raises(CommandExecutionError) as caught:
        verb("set_current_version", "mac", NEW)
    assert str(caught.value) == f"https://{site.name}/mac/Insync-{NEW}: cannot be downloaded: {why}"
    assert everything(records, site) == before


def test_a_download_may_lead_elsewhere_and_has_to_come_in_time(site, monkeypatch):
    site.downloads = {"1": (302, {"Location": "/mac/Insync-2"}, b""), "2": (200, {}, b"MZ")}
    insync_published.downloadable(f"https://{site.name}/mac/Insync-1")
    monkeypatch.setattr(insync_published, "DOWNLOAD_SECONDS", 0.1)
    going_on, truth = threading.Event(), site.answer
    site.answer = lambda path: (going_on.wait(10), *truth(path))[1:]
    with pytest.raises(ValueError, match="Insync-2: cannot be downloaded: .*timed out"):
        insync_published.downloadable(f"https://{site.name}/mac/Insync-2")
    going_on.set()


@pytest.mark.parametrize(
    "url, why",
    [
        ("http://localhost/x", "it is not https"),
        ("https://localhost:1/x", ".*Connection refused"),
        ("https://nowhere.invalid/x", ".+"),
        ("https://[x/y", "Invalid IPv6 URL"),
    ],
)
def test_a_url_that_leads_nowhere_is_named(url, why):
    with pytest.raises(ValueError, match=f"^{re.escape(url)}: cannot be downloaded: {why}") as caught:
        insync_published.downloadable(url)
    assert "\n" not in str(caught.value)


def test_a_server_that_nobody_vouches_for_is_refused(site, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ValueError, match="cannot be downloaded: .*CERTIFICATE_VERIFY_FAILED"):
        insync_published.downloadable(f"https://{site.name}/mac/Insync-1")
    assert "CERTIFICATE_VERIFY_FAILED" in insync_published.told(f"https://{site.name}/api/told")[1]


@pytest.mark.parametrize(
    "call, said",
    [
        (("set_current_version", "mac", "3.9.5.1"), f"mac: 3.9.5.1 is lower than the current {OLD}; insync.rollback"),
        (("set_current_version", "macos", NEW), "macos: no platform; there is mac, windows; did you mean 'mac'?"),
        (("set_current_version", "mac", "../x"), "'../x': is no version, which is one to four numbers"),
        (("set_current_version", "mac", 3.1), "3.1: is no version, .*is quoted twice"),
        (("rollback_version", "mac", "x"), "'x': is no version"),
        (("rollback_version", "linux"), "linux: no platform; there is mac, windows"),
        (("rollback_version", "mac"), f"mac: nothing was current before {OLD}"),
    ],
)
def test_what_cannot_be_is_one_line_and_nobody_is_asked(verb, records, site, call, said):
    before, asked = everything(records, site), len(site.asked)
    with pytest.raises(CommandExecutionError, match=f"^{said}") as caught:
        verb(*call)
    assert "\n" not in str(caught.value)
    assert (everything(records, site), len(site.asked)) == (before, asked)


def test_a_lower_one_is_for_who_asks_for_it(verb):
    assert verb("set_current_version", "mac", "3.9.5.1", backport=True)["mac"] == {"old": OLD, "new": "3.9.5.1"}
    with pytest.raises(SaltInvocationError, match="^backprt=True: no option; there is backport, test"):
        verb("set_current_version", "mac", "3.9.4.1", backprt=True)


@pytest.mark.parametrize("area", ["versions", "conf"])
def test_one_at_a_time(verb, records, site, monkeypatch, area):
    monkeypatch.setattr(insync_verb, "PATIENCE", 0)
    before = everything(records, site)
    another = pytest.raises(CommandExecutionError, match="^another is running, by bob, since ")
    with insync_verb.alone(area, "another", "bob"), another:
        verb("set_current_version", "mac", NEW)
    assert everything(records, site) == before


def test_another_server_says_that_it_is_not_the_one(verb, pillar):
    del pillar["current_versions"]
    for call in (("current_versions",), ("set_current_version", "mac", NEW)):
        with pytest.raises(CommandExecutionError, match="^this server declares no current versions$"):
            verb(*call)
