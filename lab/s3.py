"""The object store of insync-cloud: radosgw with the buckets that lab.yaml declares, and nginx in front of it."""

import hashlib
import json

import yaml

from lab import podman
from lab.errors import LabError
from lab.paths import LAB

UNIT = "s3.service"
# On loopback only; nginx is before it.
PORT = 7480
REGION = "default"
USER = "insync"
CERTIFICATE = "/etc/nginx/certificate.pem"
KEY = "/etc/nginx/key.pem"


def public_names(lab):
    """Return {name: bucket} of the names under which everybody may read a bucket."""
    return {bucket["public"]: name for name, bucket in lab["buckets"].items() if "public" in bucket}


def nginx_config(lab):
    """Return nginx's configuration (str): TLS for S3, and each public name for what is in its bucket."""
    servers = [_SERVER % {"name": name, "bucket": bucket, "port": PORT} for name, bucket in public_names(lab).items()]
    return _NGINX % {"certificate": CERTIFICATE, "key": KEY, "port": PORT, "servers": "\n".join(servers)}


def client(key=None):
    """
    Return a boto3 client of the store; to be used in the cloud's network.

    key (dict: s3_access_key, s3_secret_key): of whom; left out, of the user who owns the buckets.
    """
    # Imported here: it takes half a second, and most that import the lab do not need it.
    import boto3
    import botocore.config

    secrets = key or yaml.safe_load((LAB / "fake_secrets.yaml").read_text(encoding="utf-8"))["repos"]
    # This machine's proxy does not know the lab; and the gateway does not know the checksums that boto3 adds by itself.
    config = botocore.config.Config(
        proxies={},
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{PORT}",
        region_name=REGION,
        aws_access_key_id=secrets["s3_access_key"],
        aws_secret_access_key=secrets["s3_secret_key"],
        config=config,
    )


def prepare(store, buckets, servers=()):
    """
    Make the user and those of ``buckets`` that are missing; the store is blank each time that it starts.

    store: as ``client`` returns it.
    buckets (dict): name -> what lab.yaml says. servers (iterable of str): those that may back up data.
    Returns the list of the buckets that were made. Raises LabError if the store does not come up.
    """
    wait = ["--retry", "60", "--retry-connrefused", "--retry-delay", "1", "--retry-max-time", "60", "--max-time", "10"]
    url = f"http://127.0.0.1:{PORT}/"
    podman.execute("cloud", "curl", "-sS", "--fail", "--output", "/dev/null", *wait, url, what=f"cloud: {UNIT}")
    there = _buckets(store)
    missing = [name for name in buckets if name not in there]
    for name in missing:
        store.create_bucket(Bucket=name, ACL="public-read" if "public" in buckets[name] else "private")
        if "writers" in buckets[name]:
            _let_write(store, name, buckets[name]["writers"], buckets[name].get("removers", []))
        if "keepers" in buckets[name]:
            _let_servers(store, name, servers, buckets[name]["keepers"])
    return missing


def server_key(server):
    """Return what ``server`` (str) backs its data up with: password, s3_access_key, s3_secret_key."""
    return {
        "password": f"lab backup \"of\" {server} '#1' \\ $x ü",
        "s3_access_key": f"LABBACKUP{server.upper().replace('-', '')}",
        "s3_secret_key": f"lab/s3+backup/{hashlib.sha256(server.encode()).hexdigest()[:16]}",
    }


def _let_servers(store, bucket, servers, keepers):
    """
    Let each of ``servers`` (list of str) read and write below its own name, and delete nothing there but its locks.

    The names of others, which are checksums, it may list: who may not is told of a missing object that it is forbidden.
    keepers (list of str): the roles that, with a key of their own, write and delete everywhere in ``bucket`` (str).
    """
    whole = f"arn:aws:s3:::{bucket}"
    statements = []
    for server in servers:
        key = server_key(server)
        _user(f"backup-{server}", key["s3_access_key"], key["s3_secret_key"])
        principal, own = {"AWS": [f"arn:aws:iam:::user/backup-{server}"]}, f"{whole}/{server}"
        for actions, resource in (
            (["s3:ListBucket"], whole),
            (["s3:GetObject", "s3:PutObject"], f"{own}/*"),
            (["s3:DeleteObject"], f"{own}/locks/*"),
        ):
            statements.append({"Effect": "Allow", "Principal": principal, "Action": actions, "Resource": [resource]})
    principal = {"AWS": [f"arn:aws:iam:::user/{role}" for role in keepers]}
    for actions, resource in (
        (["s3:ListBucket"], whole),
        (["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], f"{whole}/*"),
    ):
        statements.append({"Effect": "Allow", "Principal": principal, "Action": actions, "Resource": [resource]})
    for role in keepers:
        _make_user(role, role)
    policy = {"Version": "2012-10-17", "Statement": statements}
    store.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


def _let_write(store, bucket, writers, removers):
    """
    Let roles, each with its own key, into ``bucket`` (str): ``writers`` (list of str) read and write there, and delete
    nothing; ``removers`` (list of str) read and delete, and write nothing.
    """
    whole, inside = f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"
    statements = []
    for roles, actions in (
        (writers, ["s3:GetObject", "s3:PutObject"]),
        (removers, ["s3:GetObject", "s3:DeleteObject"]),
    ):
        for role in roles:
            _make_user(role, role)
        principal = {"AWS": [f"arn:aws:iam:::user/{role}" for role in roles]}
        for resource, allowed in ((whole, ["s3:ListBucket"]), (inside, actions)) if roles else ():
            statements.append({"Effect": "Allow", "Principal": principal, "Action": allowed, "Resource": [resource]})
    policy = {"Version": "2012-10-17", "Statement": statements}
    store.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


def _buckets(store):
    """Return the set of the user's buckets; the user is made if there is none yet."""
    import botocore.exceptions

    try:
        return _listed(store)
    except botocore.exceptions.ClientError as exc:
        if exc.response["Error"]["Code"] != "InvalidAccessKeyId":
            raise LabError(f"cloud: S3: {exc}") from exc
    _make_user(USER, "repos")
    return _listed(store)


def _listed(store):
    return {bucket["Name"] for bucket in store.list_buckets()["Buckets"]}


def _make_user(name, role):
    """Make the user ``name``, whose key is among the secrets of ``role``."""
    secrets = yaml.safe_load((LAB / "fake_secrets.yaml").read_text(encoding="utf-8"))[role]
    _user(name, secrets["s3_access_key"], secrets["s3_secret_key"])


def _user(name, access, secret):
    keys = ["--access-key", access, "--secret-key", secret]
    command = ["radosgw-admin", "user", "create", "--uid", name, "--display-name", name, *keys]
    done = podman.execute("cloud", *command, check=False)
    # One may have something to do in several buckets.
    if done.returncode and f"user: {name} exists" not in done.stderr:
        raise LabError(f"cloud: radosgw-admin user create: {done.stderr.strip()[-300:]}")


_NGINX = """\
# Made by the lab: S3 by TLS, and the public names of its buckets.
user www-data;
worker_processes 1;
pid /run/nginx.pid;
events {}

http {
    log_format by_name '$time_iso8601 $remote_addr $host "$request" $status $body_bytes_sent $request_time'
                       ' "$http_range" "$http_user_agent"';
    access_log /var/log/nginx/access.log by_name;
    error_log /var/log/nginx/error.log;
    default_type application/octet-stream;
    ssl_certificate %(certificate)s;
    ssl_certificate_key %(key)s;
    proxy_http_version 1.1;
    proxy_set_header Connection "";

    # The key as the client wrote it, so that + and %%2B stay what they are; of a bucket's own functions none is public.
    map $request_uri $key {
        "~^(?<path>[^?]*)" $path;
    }

    server {
        listen 443 ssl default_server;
        client_max_body_size 0;
        proxy_request_buffering off;
        proxy_set_header Host $http_host;
        location / {
            proxy_pass http://127.0.0.1:%(port)d;
        }
    }

    server {
        listen 80 default_server;
        return 404;
    }

%(servers)s}
"""

_SERVER = """\
    server {
        listen 80;
        listen 443 ssl;
        server_name %(name)s;
        proxy_set_header Authorization "";
        location / {
            limit_except GET {
                deny all;
            }
            proxy_pass http://127.0.0.1:%(port)d/%(bucket)s$key;
        }
    }
"""
