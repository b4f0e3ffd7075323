"""What may be told of a command: its program and the names of its arguments. Everything else might be a secret."""

import re
import shlex
import urllib.parse

HIDDEN = "..."
_PROGRAM = re.compile(r"[\w./+-]{1,120}(@[\w.-]+)?")
_INTERPRETER = re.compile(r"(python|perl|ruby|node|php|bash|sh|dash|java)[\d.]*(-minimal)?")
_OPTION = re.compile(r"(--[A-Za-z][A-Za-z-]{0,40})(=.*)?")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=.*", re.DOTALL)
_BETWEEN = set("|&;()<>")
# What stands before the program that is meant.
_BEFORE = {"exec", "nice", "sudo", "env", "time", "command", "["}


def command(argv, exe, is_file=lambda path: False):
    """
    Return what may be told of a process (str): its program, the script that it runs, and the names of its options.

    argv (list of str): its arguments; the first one it may have changed itself, so it is not shown.
    exe (str): path of its program.
    is_file (function): whether a path (str) is a file: then it may be the script of an interpreter.
    """
    rest, shown = list(argv[1:]), [exe]
    if _is_interpreter(shown):
        shown += _script(rest, is_file)
    return " ".join([*shown, *_arguments(rest)])


def _is_interpreter(words):
    """Whether the last of ``words`` runs what follows it."""
    return bool(words) and _INTERPRETER.fullmatch(words[-1].rsplit("/", 1)[-1]) is not None


def _script(rest, is_file):
    """What an interpreter runs, taken away from ``rest`` (list of str)."""
    for index, one in enumerate(rest):
        if one.startswith("/") and is_file(one) and _PROGRAM.fullmatch(one):
            return [rest.pop(index)]
        if one == "-m" and re.fullmatch(r"[\w.]{1,80}", (rest[index + 1 :] or [""])[0]):
            found, rest[index : index + 2] = rest[index : index + 2], []
            return found
        if not one.startswith("-"):
            break
    return []


def _arguments(rest):
    shown = []
    for one in rest:
        match = _OPTION.fullmatch(one)
        if match:
            shown.append(match[1] + (f"={HIDDEN}" if match[2] else ""))
        elif re.match(r"-[A-Za-z]", one):
            # Behind the letter may stand its value: mysql -psecret.
            shown.append(one[:2] + (HIDDEN if len(one) > 2 else ""))
        elif shown[-1:] != [HIDDEN]:
            shown.append(HIDDEN)
    return shown


def shell(line, is_file=lambda path: False):
    """
    Return what may be told of a command line (str) of a shell: the programs, and the names of their options.

    is_file (function): whether a path (str) is a file: then it may be the script of an interpreter.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    shown, fresh = [], True
    try:
        for token in lexer:
            if token and set(token) <= _BETWEEN:
                fresh = not set(token) & set("<>")
                shown.append(token)
            elif fresh and (match := _ASSIGNMENT.fullmatch(token)):
                shown.append(f"{match[1]}={HIDDEN}")
            elif fresh and _PROGRAM.fullmatch(token) and not token.startswith("-"):
                shown.append(token)
                fresh = token in _BEFORE
            elif _is_interpreter(shown[-1:]) and token.startswith("/") and _PROGRAM.fullmatch(token) and is_file(token):
                shown.append(token)
            else:
                shown += [one for one in _arguments([token]) if shown[-1:] != [one] or one != HIDDEN]
    except ValueError:
        # A quote that is not closed: what follows it cannot be told apart.
        shown.append(HIDDEN)
    return " ".join(shown)


def url(text):
    """Return scheme and host (str) of a URL, and nothing of what may be a token in its path; no URL: nothing of it."""
    match = re.match(r"(\w[\w+.-]*)://", text)
    if not match:
        return HIDDEN
    host = urllib.parse.urlsplit(text).netloc.rpartition("@")[2]
    return f"{match[1]}://{host}" if re.fullmatch(r"[\w.:\[\]-]*", host) else f"{match[1]}://{HIDDEN}"
