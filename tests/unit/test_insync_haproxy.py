"""HAProxy's runtime socket, played by a server that answers what HAProxy 2.6 has answered."""

import socketserver
import threading

import insync_haproxy
import pytest

STATISTICS = """# pxname,svname,qcur,scur,status,econ,eresp,hrsp_5xx,stot,
f_https,FRONTEND,,3,OPEN,,,1,90,
b_web_blue,web-lb02,0,1,UP,0,0,0,40,
b_web_blue,web02,0,2,UP 1/2,0,1,2,50,
b_web_blue,BACKEND,0,3,UP,0,1,2,90,

"""


class Haproxy(socketserver.ThreadingUnixStreamServer):
    """Answers each order with what ``answers`` has for it, in two pieces; keeps the map."""

    def __init__(self, path):
        self.map, self.refuses = {"web": "blue"}, ""
        super().__init__(str(path), _Order)

    def answer(self, order):
        if order == "show stat":
            return STATISTICS
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


def test_a_socket_that_is_not_there_is_one_sentence(tmp_path):
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
