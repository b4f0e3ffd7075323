"""House rules of salt/ and pillar/; each returns a line for every place that breaks it."""

import os
import re

import salt.state
import yaml

from tests.lint.tree import STATE, without_comments

SERVED = {"_modules", "_states", "_runners", "_utils", "top.sls"}
# salt_release is included by master and minion: its ids speak of Salt itself.
PREFIXES = {"salt_release": "salt"}
COMMON = (
    salt.state.STATE_INTERNAL_KEYWORDS
    | salt.state.STATE_RUNTIME_KEYWORDS
    | salt.state.STATE_REQUISITE_KEYWORDS
    | salt.state.STATE_REQUISITE_IN_KEYWORDS
)
READS_PILLAR = re.compile(r"\bpillar\s*(\[|\.\w|\|)|(contents|dataset)_pillar|__pillar__|pillar\.get")
READS_GRAINS = re.compile(r"""\bgrains\s*(\[|\.\w)|__grains__|match:\s*\w*grain|\bgrains\.get""")


def states_are_written_in_full(tree):
    """Below an id stands ``module.function``: the rules read the files line by line."""
    lines = ((where, line) for where, line in tree.lines("salt/*.sls") if re.match(r"  [^\s{#-]", line))
    return [f"{where}: not 'module.function:'" for where, line in lines if not STATE.match(line)]


def no_guards(tree):
    """One of them anywhere makes Salt load every module that it has: half the CPU of a run without changes."""
    found = ((state, {"unless", "onlyif", "creates"} & state.arguments.keys()) for state in tree.states())
    return [f"{state.where}: {' '.join(guards)}" for state, guards in found if guards]


def no_batch(tree):
    """A batch drops servers that are down and reports success."""
    return [f"{where}: batch" for where, line in tree.lines("salt/orch/*") if re.search(r"\bbatch\w*:", line)]


def commands_run_on_changes_only(tree):
    """Without onchanges a command reports a change in every run; cmd.wait is skipped silently."""
    found = []
    for state in tree.states():
        command = f"{state.module}.{state.function}"
        if command in ("cmd.wait", "cmd.wait_script", "module.wait"):
            found.append(f"{state.where}: {command}")
        if command in ("cmd.run", "cmd.script", "module.run") and "onchanges" not in state.arguments:
            found.append(f"{state.where}: {command} without onchanges")
    return found


def watchers_can_watch(tree):
    """A state whose module has no mod_watch only requires what it watches, and does nothing about a change."""
    watching = [(state.where, state.module) for state in tree.states() if "watch" in state.arguments]
    for state in tree.states():
        watching += [(state.where, module) for module, _ in state.targets.get("watch_in", [])]
    return [
        f"{where}: {module} has no mod_watch"
        for where, module in watching
        if "mod_watch" not in tree.state_functions(module)
    ]


def functions_exist(tree):
    """And take the arguments that they are given; Salt ignores what a function does not know."""
    found = []
    for state in tree.states():
        function = tree.state_functions(state.module).get(state.function)
        if function is None:
            found.append(f"{state.where}: there is no state {state.module}.{state.function}")
        elif not function.args.kwarg:
            known = COMMON | {argument.arg for argument in function.args.args + function.args.kwonlyargs}
            found += [f"{state.where}: no argument {name}" for name in state.arguments if name not in known]
    return found


def ids_name_their_component(tree):
    """``sshd-config`` stands in salt/sshd/: a failed state in a report leads to its file."""
    found = []
    for state in tree.states():
        component = state.where.split("/")[1]
        prefix = PREFIXES.get(component, component.replace("_", "-"))
        if component not in ("role", "orch") and not re.match(rf"{prefix}(-|$)", state.id):
            found.append(f"{state.where}: {state.id} does not begin with {prefix}-")
    return found


def secrets_leave_no_copies(tree):
    """What is not to be seen in changes is not to be in the minion's backups of files either."""
    hidden = [state for state in tree.states() if "show_changes" in state.arguments]
    return [f"{state.where}: no 'backup: none'" for state in hidden if "backup" not in state.arguments]


def modes_are_quoted(tree):
    """YAML reads 0644 as the number 420."""
    modes = ((where, re.search(r"\b(?:\w+_)?mode: (.*)", line)) for where, line in tree.lines("salt/*.sls"))
    return [f"{where}: {mode[1]}" for where, mode in modes if mode and not re.fullmatch(r"'0[0-7]{3}'", mode[1])]


def roles_only_include(tree):
    """And say in the first line, a comment, what such a server is for, or what leaving the role means."""
    found = []
    for name in tree.files("salt/role/*/init.sls", "salt/role/*/absent.sls"):
        text = tree.text(name)
        if not text.startswith("# "):
            found.append(f"{name}: no comment that says what the role is for")
        if "{%" in text or "{{" in text or list(yaml.safe_load(text) or {}) != ["include"]:
            found.append(f"{name}: more, or less, than an include")
    return found


def absence_is_by_itself(tree):
    """What a component's absent.sls takes away, only a role's absent.sls asks for."""
    found, asked = [], set()
    for name in tree.files("salt/*.sls"):
        absent = {entry for entry in _includes(tree.text(name)) if entry.endswith("absent")}
        if absent and not name.endswith("/absent.sls"):
            found.append(f"{name}: includes {', '.join(sorted(absent))}")
        present = [entry for entry in _includes(tree.text(name)) if not entry.endswith("absent")]
        if present and name.endswith("/absent.sls"):
            found.append(f"{name}: includes {', '.join(present)}")
        asked |= absent
    for name in tree.files("salt/*/absent.sls"):
        if not name.startswith("salt/role/") and f"{name.split('/')[1]}.absent" not in asked:
            found.append(f"{name}: no role's absent.sls leads to it")
    return found


def components_are_included(tree):
    """A component that no role leads to is applied nowhere."""
    reached, waiting = set(), [yaml.safe_load(tree.text(name)) for name in tree.files("salt/role/*/init.sls")]
    while waiting:
        names = {str(entry).split(".")[0] for entry in (waiting.pop() or {}).get("include", [])} - reached
        reached |= names
        waiting += [
            {"include": _includes(tree.text(file))} for name in names for file in tree.files(f"salt/{name}/*.sls")
        ]
    return [f"salt/{name}: no role includes it" for name in tree.components() if name not in reached]


def _includes(text):
    """Of all its include blocks: which of them counts may depend."""
    blocks = re.findall(r"^include:\n((?:  - .*\n)+)", text, re.MULTILINE)
    return [line[4:] for block in blocks for line in block.splitlines()]


def only_maps_read_pillar(tree):
    """Who wants to know what a component takes from pillar reads one file of few lines."""
    names = [f"salt/{component}/*" for component in tree.components()]
    return [
        f"{name}: reads pillar"
        for name in tree.files(*names)
        if not name.endswith("/map.jinja") and READS_PILLAR.search(without_comments(tree.text(name)))
    ]


def tunables_are_read(tree):
    """A key of a role's pillar that neither a component nor a verb reads is a promise that nobody keeps."""
    found = []
    for name in tree.files("pillar/role/*.sls"):
        for key, values in (yaml.safe_load(tree.text(name)) or {}).items():
            maps = [file for file in tree.files("salt/*/map.jinja") if f"pillar['{key}']" in tree.text(file)]
            folders = [file.replace("map.jinja", "*") for file in maps]
            text = "".join(tree.text(file) for file in (tree.files(*folders) if folders else []))
            verbs = _verbs_that_read(tree, key)
            if not maps and not verbs:
                found.append(f"{name}: {key}: no map.jinja and no verb reads it")
                continue
            # The applications, sites and data are many of one kind: what each of them says of itself counts.
            many = key in ("apps", "backup", "sites")
            items = [item for one in values.values() for item in one] if many else _keys(values)
            unused = [item for item in items if not _used(item, text) and f'["{item}"]' not in verbs]
            found += [f"{name}: {key}.{item}: not used" for item in unused]
    return found


def _verbs_that_read(tree, key):
    """The text of the modules and utilities that read ``key`` of the pillar, and of those that they hand it to."""
    texts = {name: tree.text(name) for name in tree.files("_modules/*.py", "_utils/*.py")}
    read = [text for text in texts.values() if re.search(rf"""pillar(__)?\["{key}"\]""", text)]
    handed = {name for text in read for name in _utilities(text)} & texts.keys()
    handed |= {name for one in handed for name in _utilities(texts[one])} & texts.keys()
    return "".join([*read, *(texts[name] for name in handed)])


def _utilities(text):
    return {f"_utils/{name}.py" for name in re.findall(r"^import (insync_\w+)$", text, re.MULTILINE)}


def _keys(values):
    return list(values) if isinstance(values, dict) else []


def _references(tree):
    """What pillar/role/ names as ``role:key``, for a component to look up."""
    text = "".join(tree.text(name) for name in tree.files("pillar/role/*.sls"))
    return set(re.findall(r"\b(\w+:\w+)\b", text))


def _used(key, text):
    return re.search(rf"""\.{key}\b|\['{key}'\]""", text)


def secrets_are_read(tree):
    """A map.jinja reads every secret of required.yaml, or pillar/role/ names it: a server keeps none without a use."""
    named = _references(tree)
    text = "".join(tree.text(name) for name in tree.files("salt/*/map.jinja"))
    found = []
    for name in tree.files("pillar/secrets/required.yaml"):
        required = yaml.safe_load(tree.text(name)) or {}
        pairs = ((role, key) for role, keys in required.items() for key in keys)
        found += [
            f"{name}: {role}.{key}: not used"
            for role, key in pairs
            if f"['{role}']['{key}']" not in text and f"{role}:{key}" not in named
        ]
    return found


def grains_grant_nothing(tree):
    """A server can claim any grain; what it gets follows from its id and the inventory."""
    lines = tree.lines("pillar/*", "top.sls")
    return [f"{where}: grains" for where, line in lines if READS_GRAINS.search(without_comments(line))]


def roots_hold_only_links(tree):
    """Every file below roots/ is served to every minion."""
    folder = tree.root / "roots"
    wanted = {name: f"../{name}" for name in SERVED}
    found = {path.name: os.readlink(path) if path.is_symlink() else "no link" for path in folder.glob("*")}
    odd = sorted(found.items() ^ wanted.items()) if folder.exists() else []
    return [f"roots/{name}: {target}" for name, target in odd]


def jinja_stays_small(tree):
    """More belongs into _utils, where it can be tested."""
    found = []
    for name in tree.files("salt/*.sls", "pillar/*.sls", "top.sls"):
        statements = [line for line in without_comments(tree.text(name)).splitlines() if "{%" in line]
        if len(statements) > 15:
            found.append(f"{name}: {len(statements)} lines of Jinja")
        if _nested_loops(statements) > 1:
            found.append(f"{name}: more than one nested loop")
    return found


def _nested_loops(lines):
    depth, nested = 0, 0
    for word in re.findall(r"\{%-?\s*(for|endfor)\b", "\n".join(lines)):
        nested += word == "for" and depth > 0
        depth += 1 if word == "for" else -1
    return nested


RULES = [
    states_are_written_in_full,
    no_guards,
    no_batch,
    commands_run_on_changes_only,
    watchers_can_watch,
    functions_exist,
    ids_name_their_component,
    secrets_leave_no_copies,
    modes_are_quoted,
    roles_only_include,
    absence_is_by_itself,
    components_are_included,
    only_maps_read_pillar,
    tunables_are_read,
    secrets_are_read,
    grains_grant_nothing,
    roots_hold_only_links,
    jinja_stays_small,
]
