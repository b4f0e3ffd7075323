"""jt: what Insync's people and the states load the conf with."""

import argparse
import json
import os
import pathlib
import sys
import urllib.parse

from insync_core import confserver, settings

from insync_conf_server import values

OK, NOT_THERE, BAD_INPUT, UNREACHABLE, REFUSED = range(5)
HELP = """\
INSYNC_SETTINGS names a JSON file with conf_url and ca_file; JT_TOKEN_FILE a file with the token.

exit codes:
  0  done
  1  there is no such namespace, or get: no such key
  2  bad input or settings: nothing was applied
  3  no conf server that can be trusted answers, or it has trouble of its own
  4  the token is refused
"""


class Failure(Exception):
    """Ends jt with ``code`` and one line."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def main(argv=None):
    """Run jt and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.command(arguments)
    except Failure as exc:
        print(f"jt: {exc}", file=sys.stderr)
        return exc.code
    return OK


def load(arguments):
    """Add and update the keys of a file."""
    content = _content(arguments.file)
    try:
        new = values.parse(content)
    except values.BadValues as exc:
        raise Failure(BAD_INPUT, f"{arguments.file}: {exc}") from None
    flags = {name: 1 for name in ("prune", "dry_run") if getattr(arguments, name)}
    result = _ask(arguments.ns, method="PATCH", body=new, **flags)
    keys = ("added", "updated", "unchanged", "removed", "rev")
    result = {key: result[key] for key in keys}
    if arguments.json:
        print(json.dumps(result))
        return
    for key in ("added", "updated", "removed"):
        if result[key]:
            print(f"{key}: {', '.join(result[key])}")
    print(f"unchanged: {result['unchanged']}, revision {result['rev']}{', nothing applied' * arguments.dry_run}")


def get(arguments):
    """Print one value as JSON."""
    conf = _ask(arguments.ns)["conf"]
    if arguments.key not in conf:
        raise Failure(NOT_THERE, f"{arguments.ns} has no key {arguments.key}")
    print(json.dumps(conf[arguments.key], sort_keys=True))


def dump(arguments):
    """Print all values as JSON."""
    print(json.dumps(_ask(arguments.ns)["conf"], sort_keys=True, indent=2))


def _ask(ns, **options):
    flags = {key: options.pop(key) for key in ("prune", "dry_run") if key in options}
    try:
        found = settings.read()
        url, ca_file = found["conf_url"], found["ca_file"]
        token = pathlib.Path(os.environ["JT_TOKEN_FILE"]).read_text(encoding="utf-8").strip()
    except settings.SettingsError as exc:
        raise Failure(BAD_INPUT, str(exc)) from None
    except KeyError as exc:
        raise Failure(BAD_INPUT, f"no {exc.args[0]}; see jt --help") from None
    except (OSError, ValueError) as exc:
        raise Failure(BAD_INPUT, f"JT_TOKEN_FILE: {getattr(exc, 'strerror', None) or 'not a text'}") from None
    address = f"{url.rstrip('/')}/v1/conf/{urllib.parse.quote(ns, safe='')}"
    try:
        query = f"?{urllib.parse.urlencode(flags)}" if flags else ""
        return confserver.ask(address + query, token, ca_file, seconds=10, **options)[0]
    except confserver.Unreachable as exc:
        raise Failure(UNREACHABLE, f"conf server unreachable: {exc}") from None
    except confserver.Refused as exc:
        known = {401: REFUSED, 403: REFUSED, 404: NOT_THERE}
        raise Failure(known.get(exc.status, UNREACHABLE if exc.status >= 500 else BAD_INPUT), str(exc)) from None


def _content(name):
    try:
        return sys.stdin.buffer.read() if name == "-" else pathlib.Path(name).read_bytes()
    except OSError as exc:
        raise Failure(BAD_INPUT, f"{name}: {exc.strerror}") from None


def _parser():
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="jt", description="LAB STAND-IN for jt.", epilog=HELP, formatter_class=shape)
    tools = parser.add_subparsers(required=True, metavar="TOOL")
    sconf = tools.add_parser("sconf", help="the server's conf", epilog=HELP, formatter_class=shape)
    commands = sconf.add_subparsers(required=True, metavar="COMMAND")

    def command(function, words):
        added = commands.add_parser(function.__name__, help=words, epilog=HELP, formatter_class=shape)
        added.set_defaults(command=function)
        added.add_argument("--ns", required=True, help="namespace")
        return added

    loading = command(load, "add and update keys; no key is ever removed without --prune")
    loading.add_argument("file", help="a JSON object; - is standard input")
    loading.add_argument("--dry-run", action="store_true", help="only say what would change")
    loading.add_argument("--prune", action="store_true", help="remove the keys that the file lacks")
    loading.add_argument("--json", action="store_true", help='{"added": [], "updated": [], "unchanged": 0, ...}')
    command(get, "print one value as JSON").add_argument("key")
    command(dump, "print all values as JSON")
    return parser
