"""The packet filter in the kernel, compared with the file that declares it."""

import hashlib
import json
import pathlib

from salt.exceptions import CommandExecutionError, SaltException

__virtualname__ = "insync_nftables"

_RECORD = pathlib.Path("/var/lib/insync/nftables.json")


def __virtual__():
    return __virtualname__


def loaded(name, table):
    """
    Keep the kernel's ``table`` as the file ``name`` declares it; rules changed or flushed by hand come back.

    name (str): path of the nftables file.
    table (str): family and name of the one table that the file declares.

    What the kernel shows for a file cannot be foretold, so it is recorded when the file is loaded.

    .. code-block:: yaml

        firewall-loaded:
          insync_nftables.loaded:
            - name: /etc/nftables.conf
            - table: inet insync
            - watch:
              - file: firewall-rules
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"table {table} is as {name} declares it"}
    if _recorded() == _state(name, table):
        return ret
    return _load(ret, name, table)


def mod_watch(name, table, **kwargs):
    """Load the file ``name`` because a state that it watches has changed."""
    return _load({"name": name, "changes": {}, "result": True, "comment": ""}, name, table)


def _load(ret, name, table):
    changes = {table: {"old": "differs", "new": "loaded"}}
    if __opts__["test"]:
        return {**ret, "changes": changes, "result": None, "comment": f"{name} would be loaded"}
    try:
        _nft("-f", name)
        _RECORD.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _RECORD.write_text(json.dumps(_state(name, table)), encoding="utf-8")
    except (SaltException, OSError) as exc:
        return {**ret, "result": False, "comment": f"cannot load {name}: {exc}"}
    return {**ret, "changes": changes, "comment": f"{name} is loaded"}


def _recorded():
    try:
        return json.loads(_RECORD.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _state(name, table):
    path = pathlib.Path(name)
    try:
        kernel = _nft("-s", "list", "table", *table.split())
    except CommandExecutionError:
        kernel = ""
    declared = path.read_bytes() if path.exists() else b""
    return {"file": hashlib.sha256(declared).hexdigest(), "kernel": hashlib.sha256(kernel.encode()).hexdigest()}


def _nft(*arguments):
    result = __salt__["cmd.run_all"](["/usr/sbin/nft", *arguments], python_shell=False, ignore_retcode=True)
    if result["retcode"] != 0:
        raise CommandExecutionError(result["stderr"] or f"nft ended with {result['retcode']}")
    return result["stdout"]
