"""HAProxy's runtime socket, played by a server that answers what HAProxy 2.6 has answered."""

import socket
import socketserver
import threading
import time

import insync_haproxy
import pytest

STATISTICS = """# pxname,svname,qcur,scur,status,econ,eresp,hrsp_5xx,stot,
f_https,FRONTEND,,3,OPEN,,,1,90,
b_web_blue,web-lb02,0,1,UP,0,0,0,40,
b_web_blue,web02,0,2,UP 1/2,0,1,2,50,
b_web_blue,BACKEND,0,3,UP,0,1,2,90,

"""


PROCESSES = """#<PID>          <type>          <reloads>       <uptime>        <version>
7               master          2 [failed: 0]   0d00h00m04s     2.6.12-1+deb12u4
# workers
31              worker          0               0d00h00m02s     2.6.12-1+deb12u4
# old workers
29              worker          1               0d00h00m03s     2.6.12-1+deb12u4
9               worker          2               0d00h00m04s     2.6.12-1+deb12u4
# programs

"""


class Haproxy(socketserver.ThreadingUnixStreamServer):
    """Answers each order with what ``answers`` has for it, in two pieces; keeps the map."""

    def __init__(self, path):
        self.map, self.refuses = {"web": "blue"}, ""
        super().__init__(str(path), _Order)

    def answer(self, order):
        if order.startswith("@!9 "):
            return "Can't find the target PID matching the prefix '@!9'\n"
        order = order.removeprefix("@!29 ")
        if order in ("show stat", "show proc"):
            return self.refuses or {"show stat": STATISTICS, "show proc": PROCESSES}[order]
        verb, _, _, *words = order.split()
        if verb == "show":
            return "".join(f"0x55d0{number} {key} {value}\n" for number, (key, value) in enumerate(self.map.items()))
        if self.refuses:
            return self.refuses
        if (verb == "set") == (words[0] in self.map):
            self.map[words[0]] = words[1]
            return "\n"
        return "entry not found.\n"


class _Order(socketserver.StreamRequestHandler):
    def handle(self):
        text = self.server.answer(self.rfile.readline().decode().strip()).encode()
        self.wfile.write(text[:20])
        self.wfile.flush()
        self.wfile.write(text[20:])


@pytest.fixture
def haproxy(tmp_path):
    with Haproxy(tmp_path / "admin.sock") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_servers_by_the_names_of_the_fields(haproxy):
    found = insync_haproxy.statistics(haproxy.server_address)
    assert {name: list(servers) for name, servers in found.items()} == {"b_web_blue": ["web-lb02", "web02"]}
    assert (found["b_web_blue"]["web02"]["status"], found["b_web_blue"]["web02"]["hrsp_5xx"]) == ("UP 1/2", "2")


def test_an_entry_is_set_or_added_and_read_back(haproxy):
    for key, value in (("web", "green"), ("license", "green")):
        insync_haproxy.set_entry("active.map", key, value, haproxy.server_address)
    assert insync_haproxy.entries("active.map", haproxy.server_address) == {"web": "green", "license": "green"}


def test_what_haproxy_refuses_is_told(haproxy):
    haproxy.refuses = "Permission denied\n"
    with pytest.raises(insync_haproxy.HaproxyError, match="refuses 'set map active.map web green': Permission denied"):
        insync_haproxy.set_entry("active.map", "web", "green", haproxy.server_address)
    haproxy.refuses = "\n"
    with pytest.raises(insync_haproxy.HaproxyError, match="took web green for active.map, and has blue"):
        insync_haproxy.set_entry("active.map", "web", "green", haproxy.server_address)


def test_what_is_no_answer_is_told(haproxy):
    haproxy.refuses = "Permission denied\n"
    with pytest.raises(insync_haproxy.HaproxyError, match="tells no statistics: Permission denied$"):
        insync_haproxy.statistics(haproxy.server_address)
    haproxy.answer = lambda order: "Unknown map identifier. Please use #<id> or <file>.\n\n"
    with pytest.raises(insync_haproxy.HaproxyError, match="says of the map active.map: Unknown map identifier"):
        insync_haproxy.entries("active.map", haproxy.server_address)
    haproxy.answer = lambda order: ""
    with pytest.raises(insync_haproxy.HaproxyError, match="tells no statistics: nothing"):
        insync_haproxy.statistics(haproxy.server_address)


def test_one_that_says_nothing_is_not_waited_for_long(haproxy, monkeypatch):
    monkeypatch.setattr(insync_haproxy, "SECONDS", 0.2)
    haproxy.answer = lambda order: time.sleep(1) or ""
    with pytest.raises(insync_haproxy.HaproxyError, match="does not answer at .*timed out"):
        insync_haproxy.statistics(haproxy.server_address)


def test_of_a_key_that_is_there_twice_the_first_counts(haproxy, tmp_path):
    haproxy.answer = lambda order: "0x55d01 web blue\n0x55d02 web green\n\n"
    assert insync_haproxy.entries("active.map", haproxy.server_address) == {"web": "blue"}
    (tmp_path / "active.map").write_text("web blue\nweb green\n")
    assert insync_haproxy.read(tmp_path / "active.map") == {"web": "blue"}


def test_what_processes_from_before_a_reload_know(haproxy):
    ((entries, rows),) = insync_haproxy.formers("active.map", haproxy.server_address)
    assert (entries, rows["b_web_blue"]["web02"]["scur"]) == ({"web": "blue"}, "2"), "one has ended meanwhile"


def test_a_master_that_starts_anew_is_waited_for(tmp_path):
    later = threading.Timer(0.3, lambda: Haproxy(tmp_path / "sock").serve_forever())
    later.daemon = True
    later.start()
    assert len(insync_haproxy.formers("active.map", tmp_path / "sock")) == 1


def test_a_haproxy_that_is_restarted_is_waited_for(tmp_path):
    # Of the one before the socket is left, and nobody listens there.
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "sock"))
    begin = lambda: (tmp_path / "sock").unlink() or Haproxy(tmp_path / "sock").serve_forever()  # noqa: E731
    later = threading.Timer(0.3, begin)
    later.daemon = True
    later.start()
    assert insync_haproxy.entries("active.map", tmp_path / "sock") == {"web": "blue"}


def test_a_socket_that_is_not_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(insync_haproxy, "PATIENCE", 0.2)
    with pytest.raises(insync_haproxy.HaproxyError, match=r"does not answer at .*sock \(No such file or directory\)"):
        insync_haproxy.say("show stat", tmp_path / "sock")


def test_the_file_keeps_what_else_is_in_it(tmp_path):
    file = tmp_path / "active.map"
    file.write_text("# of a release\nweb blue\nlicense green\n")
    file.chmod(0o640)
    insync_haproxy.write(str(file), "web", "green")
    assert file.read_text() == "# of a release\nlicense green\nweb green\n"
    assert file.stat().st_mode & 0o777 == 0o640
    assert insync_haproxy.read(str(file)) == {"license": "green", "web": "green"}
