"""
Compile what every server would get: its pillar, its states, and the files that they would write.

`python -m lab.compile SITE KEYS` prints all of it as JSON, for a checkout's own site folder, made in SITE.
"""

import copy
import json
import pathlib
import re
import sys
import tempfile

import insync_inventory
import salt.config
import salt.loader
import salt.pillar
import salt.state

from lab import shell, site
from lab.errors import LabError
from lab.paths import ROOT

# What a server is, so that the machine that compiles does not matter.
GRAINS = {
    "kernel": "Linux",
    "os": "Debian",
    "os_family": "Debian",
    "osarch": "amd64",
    "oscodename": "bookworm",
    "osfinger": "Debian-12",
    "osmajorrelease": 12,
    "init": "systemd",
}


class CompileError(LabError):
    """A server's pillar or states do not compile; the message names the server and what Salt said."""


def compile_host(checkout, site, host):
    """
    Return ``{"pillar": dict, "low": list of dict}`` of ``host``, compiled as Salt does it without a master.

    Chunks that write a file have its text as ``rendered``.

    checkout (str or pathlib.Path): the root of a checkout. A second one needs its own process: modules stay imported.
    site (str or pathlib.Path): the site folder.
    host (str): the minion id.
    Raises CompileError.
    """
    with tempfile.TemporaryDirectory(prefix="insync-compile-") as cache:
        opts = _options(pathlib.Path(checkout), site, host, cache)
        pillar = _pillar(opts, host)
        return {"pillar": pillar, "low": _low(opts, host, pillar)}


def compile_all(checkout, site):
    """Return ``{host: compile_host(...)}`` of every server in the inventory of ``checkout``."""
    hosts = insync_inventory.load(pathlib.Path(checkout, "pillar", "inventory"))["hosts"]
    return {host: compile_host(checkout, site, host) for host in hosts}


def _options(checkout, site, host, cache):
    opts = salt.config.apply_minion_config(
        {
            "id": host,
            "file_client": "local",
            "file_roots": {"base": [str(checkout / "salt"), str(checkout / "roots")]},
            "pillar_roots": {"base": [str(checkout / "pillar"), str(site)]},
            "pillar_source_merging_strategy": "recurse",
            "utils_dirs": [str(checkout / "_utils")],
            "states_dirs": [str(checkout / "_states")],
            "module_dirs": [str(checkout / "_modules")],
            "gpg_keydir": str(pathlib.Path(site, "gpgkeys")),
            "cachedir": cache,
            "extension_modules": f"{cache}/extmods",
            "state_top_saltenv": "base",
            # Say what is wrong; a master tells its minions only that something is.
            "pillar_safe_render_error": False,
        }
    )
    opts["grains"] = {**GRAINS, "id": host, "host": host}
    return opts


def _pillar(opts, host):
    compiler = salt.pillar.get_pillar(opts, opts["grains"], host, "base")
    try:
        pillar = compiler.compile_pillar()
    finally:
        compiler.destroy()
    if pillar.get("_errors"):
        raise CompileError(f"{host}: pillar: {'; '.join(map(_short, pillar['_errors']))}")
    return pillar


def _low(opts, host, pillar):
    with salt.state.HighState(opts, initial_pillar=copy.deepcopy(pillar)) as high:
        low = high.compile_low_chunks()
        wrong = [chunk for chunk in low if not isinstance(chunk, dict)]
        if wrong or not low:
            raise CompileError(f"{host}: states: {'; '.join(map(_short, wrong)) or 'none; does top.sls render?'}")
        return [_with_file(host, chunk, high.state.functions) for chunk in low]


def _with_file(host, chunk, functions):
    # What is fetched from elsewhere is no file of this checkout.
    if (chunk["state"], chunk["fun"]) != ("file", "managed") or not chunk.get("source", "").startswith("salt://"):
        return chunk
    path = functions["cp.cache_file"](chunk["source"])
    if not path:
        raise CompileError(f"{host}: {chunk['__id__']}: there is no {chunk['source']}")
    text = pathlib.Path(path).read_text(encoding="utf-8")
    if chunk.get("template"):
        render = functions["file.apply_template_on_contents"]
        try:
            text = render(text, chunk["template"], copy.deepcopy(chunk.get("context")), None, "base")
        except Exception as exc:
            raise CompileError(f"{host}: {chunk['__id__']}: {chunk['source']}: {exc}") from exc
    return {**chunk, "rendered": text}


def _short(error):
    """Salt's message; of a traceback only the last line, where the exception speaks."""
    said, _, trace = str(error).partition("Traceback (most recent call last):")
    exceptions = re.findall(r"^[\w.]+: (.*)", trace, re.MULTILINE) if said.rstrip().endswith("error:") else []
    return " ".join(" ".join([said, *exceptions[-1:]]).split())[:600]


def main(directory, keys):
    """Make a site folder in ``directory``, compile every server of this checkout with it, and print JSON."""
    site.write(directory, keys)
    try:
        json.dump(compile_all(ROOT, directory), sys.stdout, default=str)
    finally:
        stop_gpg(directory)


def stop_gpg(site):
    """End the gpg-agent that decrypting left behind for the site folder ``site``."""
    shell.run(["gpgconf", "--homedir", str(pathlib.Path(site, "gpgkeys")), "--kill", "all"], check=False)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (LabError, ValueError) as exc:
        sys.exit(str(exc))
