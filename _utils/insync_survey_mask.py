"""What may be told of a command: its program and the names of its arguments. Everything else might be a secret."""

import re
import shlex

HIDDEN = "..."
_PROGRAM = re.compile(r"[\w./+-]{1,120}(@[\w.-]+)?")
_INTERPRETER = re.compile(r"(python|perl|ruby|node|php|bash|sh|dash|java)[\d.]*(-minimal)?")
_TAKES = re.compile(r"-[A-Za-z]*[cWX]")
_OPTION = re.compile(r"(--[A-Za-z][A-Za-z-]{0,40})(=.*)?")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=.*", re.DOTALL)
_BETWEEN = set("|&;()<>")
# Behind these no other command begins.
_INTO = set("<>")
# What is quoted stands between nothing, and begins no comment.
_QUOTED = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*"|\\.""", re.DOTALL)
_COMMENT = re.compile(r"(?<![^\s|&;()<>])#.*", re.DOTALL)
# What stands before the program that is meant; some of it a shell does itself.
_BEFORE = {"exec", "nice", "sudo", "env", "time", "command"}
_OF_THE_SHELL = {*_BEFORE, "cd"}
_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_WORD = re.compile(r"[\w./+-]{1,120}")
# Of a Unix socket nginx writes the path behind it.
_URL = re.compile(r"(\w[\w+.-]*)://(unix:|(?:[\w.-]+|\[[\da-fA-F:.]+\])(?::\d{1,5})?(?=[/?#]|\Z))?")


def command(argv, exe, is_file=lambda path: False):
    """
    Return what may be told of a process (str): its program, the script that it runs, and the names of its options.

    argv (list of str): its arguments; the first one it may have changed itself, so it is not shown.
    exe (str): path of its program.
    is_file (function): whether a path (str) is a file: then it may be the script of an interpreter.
    """
    rest, shown = list(argv[1:]), [exe]
    if is_interpreter(exe):
        shown += _script(rest, is_file, exe)
    return " ".join([*shown, *_arguments(rest)])


def script(argv, exe, is_file):
    """Return the file (str) that the program of ``command`` runs, if it is an interpreter; "" if it runs none."""
    found = _script(list(argv[1:]), is_file, exe) if is_interpreter(exe) else []
    return found[0] if found and found[0].startswith("/") else ""


def is_interpreter(word):
    """Return whether ``word`` (str), a program, runs the file that follows it."""
    return _INTERPRETER.fullmatch(word.rsplit("/", 1)[-1]) is not None


def _is_script(word, is_file):
    return word.startswith("/") and _PROGRAM.fullmatch(word) is not None and is_file(word)


def _script(rest, is_file, exe):
    """What the interpreter ``exe`` runs, taken away from ``rest`` (list of str)."""
    for index, one in enumerate(rest):
        if _is_script(one, is_file):
            return [rest.pop(index)]
        # To others it is no name of a module.
        if "python" in exe and one == "-m" and _is_module(rest[:index], rest[index + 1 :]):
            found, rest[index : index + 2] = rest[index : index + 2], []
            return found
        if not one.startswith("-"):
            break
    return []


def _is_module(before, behind):
    """Whether ``behind`` -m stands one's name: not if an option in front of it takes all that follows."""
    return not any(map(_TAKES.match, before)) and re.fullmatch(r"[\w.]{1,80}", (behind or [""])[0]) is not None


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


def is_program(word, is_file):
    """
    Return whether ``word`` (str), as somebody would type it, is a program that is there.

    is_file (function): whether a path (str) is a file.
    """
    places = [word] if word.startswith("/") else [f"{folder}/{word}" for folder in _FOLDERS]
    return _WORD.fullmatch(word) is not None and any(is_file(place) for place in places)


def shell(line, is_file=lambda path: False):
    """
    Return what may be told of a command line (str) of a shell: the programs, and the names of their options.

    is_file (function): whether a path (str) is a file: only such a one is a program, or the script of an interpreter.
    What looks like one may be part of a secret, as one with a ``;`` that somebody forgot to quote.
    """
    quoted = _QUOTED.sub(lambda match: re.sub(r"[|&;()<>#]", "?", match[0]), line)
    lexer = shlex.shlex(_COMMENT.sub("", quoted), posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        return " ".join(_shown(list(lexer), is_file))
    except ValueError:
        # A quote that is not closed: nothing from the first one on can be told apart.
        return " ".join(filter(None, (shell(re.split(r"['\"\\]", line)[0], is_file), HIDDEN)))


def _shown(tokens, is_file):
    """What may be told of each word of a shell's command line."""
    shown, first, before, begins = [], True, False, True
    for token in tokens:
        if token and set(token) <= _BETWEEN:
            first, before, begins = not set(token) & _INTO, token == "&", False
            shown.append(token)
        elif first and (match := _ASSIGNMENT.fullmatch(token)):
            # Where no command line begins it may be a parameter of a URL, and its name a secret as well.
            shown += _hidden(shown, f"{match[1]}=" if begins else "")
        elif first and (token in _OF_THE_SHELL or is_program(token, is_file)):
            shown.append(token)
            first = before = token in _BEFORE
        elif (before or any(map(is_interpreter, shown[-1:]))) and _is_script(token, is_file):
            # Behind options of sudo or nice, or run by an interpreter.
            shown.append(token)
            first = before = False
        else:
            (told,) = _arguments([token])
            shown += [told] if told != HIDDEN else _hidden(shown)
            first = False
    return shown


def _hidden(shown, name=""):
    """Nothing but ``name`` is told of a word; one such word stands for several."""
    return [f"{name}{HIDDEN}"] if name or shown[-1:] != [HIDDEN] else []


def unit(line, is_file=lambda path: False):
    """
    Return what may be told of a command (str) of a unit's ``ExecStart=``: as ``command`` does.

    systemd is no shell: to it ``|``, ``&`` and ``;`` are letters of an argument.
    """
    try:
        words = shlex.split(line)
    except ValueError:
        words = [*re.split(r"['\"\\]", line)[0].split(), HIDDEN]
    marks, exe = re.fullmatch(r"([-@:+!|]*)(.*)", words[0] if words else "", re.DOTALL).groups()
    # Behind @ stands under which name the program is to run.
    argv = words[1:] if "@" in marks else words
    # A path stands there for nothing else, and may be that of a program that was removed.
    told = _PROGRAM.fullmatch(exe) and (exe.startswith("/") or is_program(exe, is_file))
    return command(argv, exe if told else HIDDEN, is_file)


def url(text):
    """
    Return scheme and host (str) of a URL, and nothing of what may be a token in its path; no URL: nothing of it.

    Of one with an @ the host neither: the password may have a slash, or another @, and the text may end within it.
    """
    match = _URL.match(text)
    if not match:
        return HIDDEN
    return f"{match[1]}://{match[2] if match[2] and '@' not in text else HIDDEN}"
