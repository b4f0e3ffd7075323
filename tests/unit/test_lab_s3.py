"""The lab's object store: who is served what by nginx, and how a blank store is set up."""

import json
import os
import re
import subprocess

import botocore.exceptions
import pytest

from lab import podman, s3
from lab.errors import LabError
from lab.images import _proxy
from lab.paths import LAB

BUCKETS = {"packages": {"public": "packages.example"}, "builds": {}, "downloads": {"public": "downloads.example"}}
LAB_YAML = {"cloud": {"public": "198.51.100.3", "domain": "cloud.example"}, "buckets": BUCKETS}


def test_a_public_name_leads_to_its_bucket_and_a_private_bucket_has_none():
    text = s3.nginx_config(LAB_YAML)
    led = dict(re.findall(r"server_name (\S+);.*?proxy_pass http://127.0.0.1:7480/(\w+)\$key;", text, re.DOTALL))
    assert led == {"packages.example": "packages", "downloads.example": "downloads"}
    assert "builds" not in text
    assert text.count("limit_except GET") == 2, "nobody writes by a public name"


def test_the_package_cache_is_not_asked_for_what_the_store_has():
    class Settings:
        lab, cloud = LAB_YAML, "198.51.100.3"

    assert _proxy(Settings).splitlines() == [
        'Acquire::http::Proxy "http://198.51.100.3:3142";',
        'Acquire::http::Proxy::packages.example "DIRECT";',
        'Acquire::http::Proxy::downloads.example "DIRECT";',
    ]


def test_the_store_is_asked_past_this_machines_proxy(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert s3.client().meta.config.proxies == {}


class Store:
    """Stands for the gateway as boto3 shows it: knows no key until the user is made."""

    def __init__(self, refuses="InvalidAccessKeyId"):
        self.buckets, self.policies, self.refuses = {}, {}, refuses

    def list_buckets(self):
        """As boto3's."""
        if self.refuses:
            raise botocore.exceptions.ClientError({"Error": {"Code": self.refuses}}, "ListBuckets")
        return {"Buckets": [{"Name": name} for name in self.buckets]}

    def create_bucket(self, Bucket, ACL):
        """As boto3's."""
        assert Bucket not in self.buckets
        self.buckets[Bucket] = ACL

    def put_bucket_policy(self, Bucket, Policy):
        """As boto3's."""
        self.policies[Bucket] = json.loads(Policy)


@pytest.fixture
def store(monkeypatch):
    """A blank store; making a user there lets it in."""
    found = Store()
    found.users = []

    def execute(server, *command, **options):
        if command[:3] == ("radosgw-admin", "user", "create"):
            found.refuses, name = None, command[command.index("--uid") + 1]
            there = name in found.users
            found.users += [] if there else [name]
            return subprocess.CompletedProcess(command, int(there), "", f"user: {name} exists" if there else "")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(podman, "execute", execute)
    return found


def test_a_blank_store_gets_a_user_and_buckets_and_one_that_has_them_nothing(store):
    assert s3.prepare(store, BUCKETS) == list(BUCKETS)
    assert store.buckets == {"packages": "public-read", "builds": "private", "downloads": "public-read"}
    assert s3.prepare(store, BUCKETS) == []
    assert s3.prepare(store, {**BUCKETS, "more": {}}) == ["more"]
    assert store.users == [s3.USER] and store.policies == {}


def test_a_writer_has_a_user_of_its_own_that_deletes_nothing(store):
    archive = {"archive": {"writers": ["wiki"]}}
    assert s3.prepare(store, archive) == ["archive"] and s3.prepare(store, archive) == []
    assert store.users == [s3.USER, "wiki"] and store.buckets == {"archive": "private"}
    statements = store.policies["archive"]["Statement"]
    assert {action for one in statements for action in one["Action"]} == {
        "s3:ListBucket",
        "s3:GetObject",
        "s3:PutObject",
    }
    assert all(one["Principal"] == {"AWS": ["arn:aws:iam:::user/wiki"]} for one in statements)


def test_who_removes_writes_nothing(store):
    s3.prepare(store, {"archive": {"writers": ["wiki"], "removers": ["backup_retention"]}})
    allowed = {}
    for one in store.policies["archive"]["Statement"]:
        allowed.setdefault(one["Principal"]["AWS"][0].rpartition("/")[2], set()).update(one["Action"])
    assert allowed["wiki"] == {"s3:ListBucket", "s3:GetObject", "s3:PutObject"}
    assert allowed["backup_retention"] == {"s3:ListBucket", "s3:GetObject", "s3:DeleteObject"}


def allowed(policy):
    """{(user, resource): actions} of a bucket's policy."""
    found = {}
    for one in policy["Statement"]:
        for principal in one["Principal"]["AWS"]:
            user = principal.rpartition("/")[2]
            found.setdefault((user, one["Resource"][0].rpartition(":")[2]), set()).update(one["Action"])
    return found


def test_a_server_writes_below_its_own_name_and_deletes_its_locks_alone(store):
    buckets = {"old": {"writers": [], "removers": ["backup_retention"]}}
    buckets["data"] = {"keepers": ["backup_retention"]}
    assert s3.prepare(store, buckets, ["wiki", "dev"]) == ["old", "data"]
    assert store.users == [s3.USER, "backup_retention", "backup-wiki", "backup-dev"]
    everything = {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"}
    assert allowed(store.policies["data"]) == {
        ("backup-wiki", "data"): {"s3:ListBucket"},
        ("backup-wiki", "data/wiki/*"): {"s3:GetObject", "s3:PutObject"},
        ("backup-wiki", "data/wiki/locks/*"): {"s3:DeleteObject"},
        ("backup-dev", "data"): {"s3:ListBucket"},
        ("backup-dev", "data/dev/*"): {"s3:GetObject", "s3:PutObject"},
        ("backup-dev", "data/dev/locks/*"): {"s3:DeleteObject"},
        ("backup_retention", "data"): {"s3:ListBucket"},
        ("backup_retention", "data/*"): everything,
    }


def test_two_servers_share_no_key():
    one, other = s3.server_key("wiki"), s3.server_key("dev")
    assert one.keys() == other.keys() and not set(one.values()) & set(other.values())


def test_a_store_that_refuses_for_another_reason_is_an_error(store):
    store.refuses = "SignatureDoesNotMatch"
    with pytest.raises(LabError, match="cloud: S3: .*SignatureDoesNotMatch"):
        s3.prepare(store, BUCKETS)
    assert store.users == []


def test_the_gateway_listens_where_nginx_asks_and_the_units_program_can_be_run():
    image = LAB / "images" / "cloud"
    assert f"endpoint=127.0.0.1:{s3.PORT}\n" in (image / "etc" / "ceph" / "ceph.conf").read_text()
    program = re.search(r"ExecStart=(\S+)", (image / "etc" / "systemd" / "system" / s3.UNIT).read_text())[1]
    assert os.access(image / program.lstrip("/"), os.X_OK)
