"""The forum: who has confirmed an address writes, everybody reads it, and nothing of that is lost."""

import json
import re
import uuid

import pytest

from tests.fleet import web
from tests.fleet.conftest import INVENTORY, changed, failed, planned
from tests.fleet.web import SECRETS

SERVER = "insynchq-support"
NAME = "forums.insynchq.com"
URL = f"https://{NAME}"
ADMIN = {"username": "ops", "password": SECRETS["forum"]["admin_password"]}
PASSWORD = "lab forum 'member' \"5\" ü"
UNITS = ("misago", "misago-worker", "misago-redis", "postgresql@15-main", "nginx")
TRIER = "198.51.100.67"

# Django wants to see its cookie once more in a header. What is sent comes on standard input, passwords too.
POST = """
token=$(awk '$6 == "csrftoken" {print $7}' "$0")
exec curl --silent --max-time 20 --cookie "$0" --cookie-jar "$0" --write-out '\\n%{http_code}' --referer "$1" \
    --header "X-CSRFToken: $token" --header 'Content-Type: application/json' --data @- "$1"
"""


class Browser:
    """A browser in the internet, with cookies of its own."""

    def __init__(self, fleet):
        self.fleet, self.jar = fleet, f"/tmp/forum-{uuid.uuid4().hex}"
        assert self.get("/")[0] == 200

    def get(self, path, *options):
        """Return (status, body)."""
        cookies = ["--cookie", self.jar, "--cookie-jar", self.jar]
        return get(self.fleet, *cookies, *options, f"{URL}{path}")

    def post(self, path, **data):
        """Return (status, what the answer says)."""
        said = self.fleet.ok("world", "sh", "-c", POST, self.jar, f"{URL}{path}", stdin=json.dumps(data))
        body, _, status = said.rpartition("\n")
        return int(status), json.loads(body)

    def start(self, title, text):
        """Start a thread; return (status, what the answer says)."""
        _, threads = self.get("/api/threads/")
        return self.post("/api/threads/", title=title, post=text, category=json.loads(threads)["subcategories"][0])


def get(fleet, *options):
    """Return (status, body) of a request from the internet."""
    command = ["curl", "--silent", "--max-time", "20", "--write-out", "\n%{http_code}"]
    body, _, status = fleet.run("world", *command, *options).stdout.rpartition("\n")
    return int(status or 0), body


def posts(fleet, thread):
    """Return what anybody reads in ``thread`` over the interface for programs."""
    status, body = get(fleet, f"{URL}/api/threads/{thread['id']}/posts/")
    assert status == 200, body
    return [post["content"] for post in json.loads(body)["post_set"]["results"]]


def until_it_answers(fleet):
    fleet.eventually(lambda: get(fleet, f"{URL}/api/threads/")[0] == 200, 30)


@pytest.fixture(scope="module")
def guest(fleet):
    """Somebody who has no account."""
    return Browser(fleet)


@pytest.fixture(scope="module")
def member(fleet):
    """Somebody who has made an account, and followed the link in the mail."""
    browser, name = Browser(fleet), f"m{uuid.uuid4().hex[:10]}"
    address = f"{name}@customer.test"
    status, said = browser.post("/api/users/", username=name, email=address, password=PASSWORD)
    assert (status, said["activation"]) == (200, "user"), said
    status, said = browser.post("/api/auth/", username=name, password=PASSWORD)
    assert (status, said["code"]) == (400, "inactive_user"), "an account needs an address that is one's own"
    (mail,) = fleet.eventually(lambda: web.mails_to(fleet, address), 20)
    link = re.search(rf"{URL}(/activation/[^\"\s]+/)", mail)[1]
    assert browser.get(link)[0] == 200
    status, said = browser.post("/api/auth/", username=name, password="wrong")
    assert (status, said["code"]) == (400, "invalid_login")
    status, said = browser.post("/api/auth/", username=name, password=PASSWORD)
    assert (status, said["username"]) == (200, name), said
    return browser


@pytest.fixture(scope="module")
def thread(member):
    """A thread that the member has started."""
    status, said = member.start("Sync stops at 99 percent", "It **stops** there; ü, too.")
    assert status == 200, said
    return said


def test_everybody_reads_what_a_member_wrote(fleet, thread):
    assert ["<p>It <strong>stops</strong> there; ü, too.</p>"] == posts(fleet, thread)
    page = get(fleet, f"{URL}{thread['url']}")[1]
    # Not `in` alone: of a page that is not as it should be, pytest would show all.
    assert [text for text in ("<strong>stops</strong> there; ü", "<title>Sync stops at") if text not in page] == []
    assert re.search("Sync stops at 99 percent", get(fleet, f"{URL}/")[1])


def test_who_is_not_logged_in_writes_nothing(fleet, guest, thread):
    status, said = guest.start("A thread of nobody", "Nobody is here.")
    assert (status, said["detail"]) == (403, "This action is not available to guests.")
    assert guest.post(f"/api/threads/{thread['id']}/posts/", post="Nobody answers.")[0] == 403
    assert "A thread of nobody" not in get(fleet, f"{URL}/api/threads/")[1] and len(posts(fleet, thread)) == 1
    status, said = guest.post("/api/auth/", username="ops", password="wrong")
    assert (status, said["code"]) == (400, "invalid_login")


def test_a_form_from_another_site_is_refused(fleet, member):
    """It comes with the member's cookies, but not with what the forum's own pages know."""
    options = ["--header", "Content-Type: application/json", "--header", "Origin: https://evil.example"]
    assert member.get("/api/threads/", *options, "--data", '{"title": "By mallory"}')[0] == 403


def test_what_was_written_outlives_restarts(fleet, member, thread):
    before = posts(fleet, thread)
    fleet.ok(SERVER, "systemctl", "restart", "--", *UNITS)
    until_it_answers(fleet)
    assert posts(fleet, thread) == before
    fleet.ok(SERVER, "systemctl", "kill", "--signal=KILL", "misago-redis")
    until_it_answers(fleet)
    status, said = member.post(f"/api/threads/{thread['id']}/posts/", post="Still logged in.")
    assert status == 200 and len(posts(fleet, thread)) == len(before) + 1, said


def test_the_administrator_answers_and_the_member_is_told(fleet, member, thread):
    """In the background, by way of the queue: of a post that is not committed yet it is tried again after 5 s."""
    admin = Browser(fleet)
    assert admin.post("/api/auth/", **ADMIN)[0] == 200
    assert admin.post(f"/api/threads/{thread['id']}/posts/", post="Free some space.")[0] == 200

    def told():
        results = json.loads(member.get("/api/v2/notifications/")[1])["results"]
        return [entry["actor"]["username"] for entry in results]

    assert fleet.eventually(told, 40) == ["ops"]
    status, image = admin.get("/")
    avatar = re.search(r'src="(/media/avatars/[^"]+\.png)"', image)[1]
    status, headers = get(fleet, "--head", f"{URL}{avatar}")
    assert status == 200 and "sandbox" in headers


NOT_THERE = "/django-admin/ /media/ /static/misago/ /static/../bin/python /media/../redis/ /__debug__/".split()


def test_the_site_tells_nothing_but_the_forum(fleet):
    assert get(fleet, "--output", "/dev/null", f"{URL}/static/misago/css/misago.css")[0] == 200
    status, page = get(fleet, f"{URL}/nosuch/")
    assert status == 404 and "Page not found" in page
    assert not re.search("Traceback|DEBUG|urlpatterns|misago_conf", page)
    for path in NOT_THERE:
        assert get(fleet, "--path-as-is", "--output", "/dev/null", f"{URL}{path}")[0] in (400, 403, 404), path
    status, headers = get(fleet, "--head", f"http://{NAME}/t/x/1/?page=2")
    assert (status, re.search(r"(?im)^location: (\S+)", headers)[1]) == (301, f"{URL}/t/x/1/?page=2")
    status, headers = get(fleet, "--head", f"{URL}/")
    assert status == 200 and "strict-transport-security" in headers.lower()


def test_another_name_is_refused(fleet):
    address = INVENTORY["hosts"][SERVER]["public"]
    resolve = ["--resolve", f"other.example:443:{address}", "--resolve", f"other.example:80:{address}"]
    assert fleet.run("world", "curl", "--silent", "--insecure", *resolve, "https://other.example/").returncode == 35
    assert fleet.run("world", "curl", "--silent", *resolve, "http://other.example/").returncode == 52


# As a user of the server who is not the forum's.
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


@pytest.mark.parametrize(
    "command, said",
    [
        (["psql", "--username=misago", "misago", "-c", "SELECT 1"], "Peer authentication failed"),
        (["redis-cli", "-s", "/run/misago-redis/redis.sock", "ping"], "Permission denied"),
        (["curl", "--silent", "--show-error", "--unix-socket", "/run/misago/web.sock", "http://x/"], "onnect"),
        (["cat", "/etc/misago/django_key"], "Permission denied"),
        (["ls", "/var/lib/misago/media"], "Permission denied"),
    ],
)
def test_others_on_the_server_get_at_nothing_of_it(fleet, command, said):
    done = fleet.run(SERVER, *NOBODY, *command)
    assert done.returncode != 0 and said in done.stderr


def test_databases_listen_on_no_port(fleet):
    listening = fleet.ok(SERVER, "ss", "--listening", "--tcp", "--udp", "--numeric", "--processes", "--no-header")
    assert "nginx" in listening and not re.search("postgres|redis|gunicorn|celery", listening)


def test_whoever_tries_passwords_is_slowed_down(fleet):
    fleet.ok("world", "ip", "address", "add", f"{TRIER}/24", "dev", "eth0")
    try:
        options = ["--interface", TRIER, "--data", "username=ops&password=guess", "--output", "/dev/null"]
        many = ["--write-out", "%{http_code}\n", *options, f"{URL}/api/auth/?[1-60]"]
        said = fleet.ok("world", "curl", "--silent", *many).split()
    finally:
        fleet.ok("world", "ip", "address", "del", f"{TRIER}/24", "dev", "eth0")
    assert "429" in said[21:] and "429" not in said[:20]
    assert get(fleet, f"{URL}/")[0] == 200


def test_what_is_old_is_removed_every_night(fleet):
    fleet.ok(SERVER, "systemctl", "start", "misago-daily")
    assert "misago-daily.service" in fleet.ok(SERVER, "systemctl", "list-timers", "misago-daily.timer")


def test_what_was_changed_by_hand_is_mended(fleet):
    sql = """UPDATE misago_conf_setting SET dry_value = 'none' WHERE setting = 'account_activation';
    UPDATE misago_users_user SET password = 'by hand', is_superuser = false WHERE slug = 'ops'"""
    fleet.ok(SERVER, "setpriv", "--reuid=misago", "--clear-groups", "psql", "--quiet", "misago", stdin=sql)
    apply = ["state.sls_id", "misago-declared", "misago"]
    (states,) = fleet.salt(SERVER, *apply, "test=True").values()
    assert planned(states.values()) == ["misago-declared"]
    (states,) = fleet.salt(SERVER, *apply).values()
    assert (failed(states.values()), changed(states.values())) == ([], ["misago-declared"])
    (mended,) = [state["changes"] for state in states.values() if state["changes"]]
    assert sorted(mended) == ["account_activation", "administrator ops", "password of ops"]
    assert web.leaked(str(states)) == []
    assert Browser(fleet).post("/api/auth/", **ADMIN)[0] == 200
