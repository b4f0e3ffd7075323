"""Connections to redis: TLS with the server's name checked, short time limits."""

import functools

import redis
import redis.backoff
import redis.retry

from insync_core.errors import needed

NEEDS = {"host": str, "port": int, "user": str, "password": str}
SECONDS = 2


def client(conf, ca_file, seconds=SECONDS):
    """Return the client of this process for ``conf`` (dict: what NEEDS names); ``seconds`` (float) is its patience."""
    return _client(conf["host"], conf["port"], conf["user"], conf["password"], ca_file, seconds)


def check(conf, ca_file):
    """Return a detail for readiness. Raises Unavailable."""
    with needed("redis", redis.RedisError):
        client(conf, ca_file).ping()
    return f"{conf['host']} as {conf['user']}"


@functools.lru_cache(maxsize=2)
def _client(host, port, user, password, ca_file, seconds):
    return redis.Redis(
        host=host,
        port=port,
        username=user,
        password=password,
        ssl=True,
        ssl_ca_certs=ca_file,
        ssl_cert_reqs="required",
        ssl_check_hostname=True,
        # The plain protocol: the newer one sends commands that an application's user may not call.
        protocol=2,
        socket_connect_timeout=seconds,
        socket_timeout=seconds,
        # Who asks decides whether to ask again: INCR twice counts twice.
        retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
        decode_responses=True,
    )
