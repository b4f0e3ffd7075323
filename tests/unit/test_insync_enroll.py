"""Accepting keys by fingerprint, on a real key folder of a master that does not run."""

import concurrent.futures
import io
import pathlib
import tarfile
import tempfile
import time

import insync_enroll
import insync_extmods
import pytest
import salt.config
import salt.key
import salt.utils.crypt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from salt.exceptions import CommandExecutionError

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Two public keys as files, with their fingerprints."""
    found = {}
    for name in ("right", "wrong"):
        path = tmp_path_factory.mktemp("keys") / name
        public = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
        path.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        found[name] = (path, salt.utils.crypt.pem_finger(str(path)))
    return found


@pytest.fixture
def opts(tmp_path):
    """The configuration of a master with empty key folders."""
    for name in ("minions", "minions_pre", "minions_rejected", "minions_denied"):
        (tmp_path / "pki" / name).mkdir(parents=True)
    (tmp_path / "cachedir").mkdir()
    folders = {name: str(tmp_path / name) for name in ("cachedir", "sock_dir", "key_dir")}
    return {**salt.config.master_config(None), **folders, "pki_dir": str(tmp_path / "pki"), "root_dir": str(tmp_path)}


def put(opts, status, key):
    path = f"{opts['pki_dir']}/{status}/web02"
    with open(path, "wb") as file:
        file.write(key[0].read_bytes())
    return path


def test_the_right_key_is_accepted_and_stays_so(opts, keys, tmp_path):
    put(opts, "minions_pre", keys["right"])
    for _ in range(2):
        insync_enroll.accept(opts, "web02", keys["right"][1], seconds=0)
        assert (tmp_path / "pki" / "minions" / "web02").read_bytes() == keys["right"][0].read_bytes()
        assert not (tmp_path / "pki" / "minions_pre" / "web02").exists()


def test_one_key_is_stored_at_a_time(opts, keys, monkeypatch):
    """With the umask of a thread that stores one, a file that another makes is nobody's to open."""
    at_it, most = [], []

    def accept(self, match):
        at_it.append(match)
        most.append(len(at_it))
        time.sleep(0.05)
        at_it.remove(match)

    monkeypatch.setattr(salt.key.Key, "accept", accept)
    put(opts, "minions_pre", keys["right"])
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: insync_enroll.accept(opts, "web02", keys["right"][1], seconds=0), range(8)))
    assert most == [1] * 8


def test_a_key_with_another_fingerprint_waits_on(opts, keys, tmp_path):
    put(opts, "minions_pre", keys["wrong"])
    with pytest.raises(CommandExecutionError) as caught:
        insync_enroll.accept(opts, "web02", keys["right"][1], seconds=0)
    assert keys["wrong"][1] in str(caught.value) and str(caught.value).endswith("not accepted")
    assert not (tmp_path / "pki" / "minions" / "web02").exists()


def test_another_key_that_is_accepted_already_is_told(opts, keys):
    put(opts, "minions", keys["wrong"])
    put(opts, "minions_pre", keys["right"])
    with pytest.raises(CommandExecutionError, match="another key of web02 is accepted .*'salt-key -d web02' first"):
        insync_enroll.accept(opts, "web02", keys["right"][1], seconds=0)


def test_the_key_of_a_server_that_is_lost_is_forgotten_and_a_new_one_accepted(opts, keys, tmp_path):
    put(opts, "minions", keys["wrong"])
    insync_enroll.forget(opts, "web02")
    assert not (tmp_path / "pki" / "minions" / "web02").exists()
    insync_enroll.forget(opts, "web02")
    put(opts, "minions_pre", keys["right"])
    insync_enroll.accept(opts, "web02", keys["right"][1], seconds=0)
    assert (tmp_path / "pki" / "minions" / "web02").read_bytes() == keys["right"][0].read_bytes()


def test_no_key_is_told(opts, keys):
    with pytest.raises(CommandExecutionError, match="no key of web02 came within 0 s"):
        insync_enroll.accept(opts, "web02", keys["right"][1], seconds=0)


def test_a_server_without_a_known_host_key_is_not_entered(monkeypatch, tmp_path):
    monkeypatch.setattr(insync_enroll, "HOME", tmp_path)
    with pytest.raises(CommandExecutionError, match=r"add the line '10\.132\.1\.14 ssh-ed25519 "):
        insync_enroll._host_key("web02", "10.132.1.14")
    (tmp_path / "known_hosts").write_text("10.132.1.140 ssh-ed25519 AAAA\n")
    with pytest.raises(CommandExecutionError, match="from web02.s console"):
        insync_enroll._host_key("web02", "10.132.1.14")
    (tmp_path / "known_hosts").write_text("10.132.1.14 ssh-ed25519 AAAA\n")
    insync_enroll._host_key("web02", "10.132.1.14")


class Minions:
    """Minions that lack kinds (``lacks``, dict: name -> list); ``lost`` (set of (name, function)) are no answers."""

    def __init__(self, lacks, lost=(), said=None):
        self.lacks, self.lost, self.said, self.told = lacks, set(lost), said, []

    def cmd(self, names, function, **_):
        self.told.append((function, names))
        answers = {name: getattr(self, function.split(".")[0])(name, function) for name in names}
        heard = {name: answer for name, answer in answers.items() if (name, function) not in self.lost}
        self.lost -= {(name, function) for name in names}
        return heard

    def insync_extmods(self, name, function):
        if self.lacks[name] == "all":
            return f"'{function}' is not available."
        return {**insync_extmods.digests(ROOT, "_{kind}"), **dict.fromkeys(self.lacks[name], "another")}

    def saltutil(self, name, function):
        kind = function.removeprefix("saltutil.sync_")
        if self.said is not None:
            return self.said
        lacks = insync_extmods.KINDS if self.lacks[name] == "all" else self.lacks[name]
        self.lacks[name] = [one for one in lacks if one != kind]
        return [f"{kind}.insync_lock"]


def test_only_who_lacks_something_looks_and_only_for_that():
    minions = Minions({"web02": [], "db": ["states"], "redis": ["utils", "states"]})
    new = insync_enroll.sync(minions, ROOT, ["web02", "db", "redis"])
    assert new == {"web02": [], "db": ["states.insync_lock"], "redis": ["utils.insync_lock", "states.insync_lock"]}
    assert minions.told == [
        ("insync_extmods.digests", ["web02", "db", "redis"]),
        ("saltutil.sync_utils", ["redis"]),
        ("saltutil.sync_states", ["db", "redis"]),
        ("insync_extmods.digests", ["db", "redis"]),
    ]


def test_a_minion_that_was_given_no_modules_yet_looks_for_all():
    minions = Minions({"web02": "all"})
    insync_enroll.sync(minions, ROOT, ["web02"])
    assert minions.told[1:4] == [(f"saltutil.sync_{kind}", ["web02"]) for kind in insync_extmods.KINDS]


@pytest.mark.parametrize("function", ["insync_extmods.digests", "saltutil.sync_states"])
def test_an_answer_that_was_lost_is_asked_for_again(function):
    minions = Minions({"web02": ["states"], "db": []}, {("web02", function), ("db", function)})
    insync_enroll.sync(minions, ROOT, ["web02", "db"])
    assert minions.lacks == {"web02": [], "db": []}
    assert ("saltutil.sync_states", ["db"]) not in minions.told, "no answer is no reason to look for all"


def test_who_is_not_in_step_is_named_with_what_it_said():
    with pytest.raises(CommandExecutionError) as caught:
        insync_enroll.sync(Minions({"web02": [], "db": ["modules"]}, said="no space"), ROOT, ["web02", "db"])
    assert str(caught.value).splitlines()[0] == "db: saltutil.sync_modules: no space"
    # Salt's own log says why it gave up, and its answer is that nothing is new.
    with pytest.raises(CommandExecutionError, match="db: has other modules than the checkout; see 'journalctl"):
        insync_enroll.sync(Minions({"db": ["modules"]}, said=[]), ROOT, ["db"])


def test_an_answer_that_came_late_is_no_reason_in_the_end():
    minions = Minions({"db": ["modules"]}, {("db", "insync_extmods.digests")}, said=[])
    with pytest.raises(CommandExecutionError, match="db: has other modules than the checkout"):
        insync_enroll.sync(minions, ROOT, ["db"])


def test_who_never_answers_is_named():
    minions = Minions({"redis": []})
    minions.cmd = lambda *_, **__: {}
    with pytest.raises(CommandExecutionError, match="redis: insync_extmods.digests: no answer"):
        insync_enroll.sync(minions, ROOT, ["redis"])


def test_a_digest_tells_names_and_contents(tmp_path):
    for kind in insync_extmods.KINDS:
        (tmp_path / kind / "__pycache__").mkdir(parents=True)
        (tmp_path / kind / "a.py").write_text("x = 1\n")
    before = insync_extmods.digests(tmp_path)
    (tmp_path / "utils" / "__pycache__" / "a.pyc").write_text("what Python keeps")
    assert insync_extmods.digests(tmp_path) == before
    (tmp_path / "utils" / "a.py").rename(tmp_path / "utils" / "b.py")
    (tmp_path / "states" / "a.py").write_text("x = 2\n")
    after = insync_extmods.digests(tmp_path)
    assert [kind for kind in before if after[kind] != before[kind]] == ["utils", "states"]


def test_what_a_server_gets_is_packed_before_servers_are_let_in(monkeypatch, opts, keys):
    (pathlib.Path(opts["pki_dir"]) / "master.pub").write_bytes(keys["right"][0].read_bytes())
    (pathlib.Path(opts["pki_dir"]) / "master_sign.pub").write_bytes(keys["right"][0].read_bytes())
    enrolment = insync_enroll.Enrolment(opts, ROOT, ["web02"])
    # A folder that is made while Salt has changed the umask is one that nobody can write to.
    monkeypatch.setattr(tempfile, "TemporaryDirectory", None)
    with tarfile.open(fileobj=io.BytesIO(enrolment._payload("web02", True))) as tar:
        assert {"./minion", "./minion.conf"} <= set(tar.getnames())
