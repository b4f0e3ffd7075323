"""The house rules hold in this checkout, and each can go red."""

import pathlib

import pytest

from tests.lint import rules_files, rules_states
from tests.lint.tree import Tree

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = {rule.__name__: rule for rule in [*rules_states.RULES, *rules_files.RULES]}

# rule, files that break it, and what it has to say about them.
SLS = "salt/web/init.sls"
HASH = "$6$" + "salt$abcdefgh"
BROKEN = [
    (
        "states_are_written_in_full",
        {SLS: "web-unit:\n  service:\n    - running\n"},
        [f"{SLS}:2: not 'module.function:'"],
    ),
    ("no_guards", {SLS: "web-x:\n  file.touch:\n    - creates: /x\n"}, [f"{SLS}:2: creates"]),
    ("no_guards", {SLS: "web-x:\n  cmd.run:\n    - name: a\n    - unless: b\n"}, [f"{SLS}:2: unless"]),
    ("no_guards", {SLS: "web-x:\n  cmd.run:\n    - onlyif:\n      - b\n"}, [f"{SLS}:2: onlyif"]),
    ("no_batch", {"salt/orch/release.sls": "a:\n  salt.state:\n    - batch: 1\n"}, ["salt/orch/release.sls:3: batch"]),
    ("commands_run_on_changes_only", {SLS: "web-x:\n  cmd.wait:\n    - name: a\n"}, [f"{SLS}:2: cmd.wait"]),
    (
        "commands_run_on_changes_only",
        {SLS: "web-x:\n  cmd.run:\n    - name: a\n"},
        [f"{SLS}:2: cmd.run without onchanges"],
    ),
    (
        "watchers_can_watch",
        {SLS: "web-x:\n  user.present:\n    - watch:\n      - file: web-config\n"},
        [f"{SLS}:2: user has no mod_watch"],
    ),
    (
        "watchers_can_watch",
        {SLS: "web-x:\n  file.managed:\n    - watch_in:\n      - group: web-group\n      - service: web-unit\n"},
        [f"{SLS}:2: group has no mod_watch"],
    ),
    (
        "watchers_can_watch",
        {
            SLS: "web-x:\n  insync_new.loaded:\n    - watch:\n      - file: web-config\n",
            "_states/insync_new.py": "def loaded(name):\n    pass\n",
        },
        [f"{SLS}:2: insync_new has no mod_watch"],
    ),
    ("functions_exist", {SLS: "web-x:\n  file.manage:\n    - name: /x\n"}, [f"{SLS}:2: there is no state file.manage"]),
    ("functions_exist", {SLS: "web-x:\n  hg.latest:\n    - name: x\n"}, [f"{SLS}:2: there is no state hg.latest"]),
    ("functions_exist", {SLS: "web-x:\n  group.present:\n    - git: 1\n"}, [f"{SLS}:2: no argument git"]),
    (
        "ids_name_their_component",
        {SLS: "config:\n  file.absent:\n    - name: /x\n"},
        [f"{SLS}:2: config does not begin with web-"],
    ),
    (
        "ids_name_their_component",
        {"salt/salt_master/init.sls": "salt-x:\n  file.absent:\n    - name: /x\n"},
        ["salt/salt_master/init.sls:2: salt-x does not begin with salt-master-"],
    ),
    (
        "secrets_leave_no_copies",
        {SLS: "web-x:\n  file.managed:\n    - show_changes: False\n"},
        [f"{SLS}:2: no 'backup: none'"],
    ),
    ("modes_are_quoted", {SLS: "web-x:\n  file.managed:\n    - mode: 0644\n"}, [f"{SLS}:3: 0644"]),
    ("modes_are_quoted", {SLS: "web-x:\n  file.managed:\n    - dir_mode: '755'\n"}, [f"{SLS}:3: '755'"]),
    (
        "roles_only_include",
        {"salt/role/web/init.sls": "include: [web]\nweb-x:\n  test.nop: []\n"},
        [
            "salt/role/web/init.sls: no comment that says what the role is for",
            "salt/role/web/init.sls: more, or less, than an include",
        ],
    ),
    (
        "absence_is_by_itself",
        {
            "salt/role/web/init.sls": "# A.\ninclude:\n  - tls.absent\n",
            "salt/role/web/absent.sls": "# B.\ninclude:\n  - tls\n",
            "salt/tls/absent.sls": "",
            "salt/web/absent.sls": "",
        },
        [
            "salt/role/web/init.sls: includes tls.absent",
            "salt/role/web/absent.sls: includes tls",
            "salt/web/absent.sls: no role's absent.sls leads to it",
        ],
    ),
    (
        "components_are_included",
        {
            "salt/role/web/init.sls": "include:\n  - web\n",
            SLS: "include:\n  - tls\n\nweb-x:\n",
            "salt/tls/init.sls": "",
            "salt/lost/init.sls": "",
        },
        ["salt/lost: no role includes it"],
    ),
    (
        "components_are_included",
        {
            "salt/role/web/init.sls": "include:\n  - web\n",
            SLS: "{%- if x %}\ninclude:\n  - tls\n{%- else %}\ninclude:\n  - plain\n{%- endif %}\n\nweb-x:\n",
            "salt/tls/init.sls": "",
            "salt/plain/init.sls": "",
            "salt/lost/init.sls": "",
        },
        ["salt/lost: no role includes it"],
    ),
    (
        "only_maps_read_pillar",
        {
            SLS: "{{ pillar.web.port }}",
            "salt/web/files/a.j2": "{{ pillar['x'] }}",
            "salt/web/map.jinja": "pillar['web']",
        },
        ["salt/web/files/a.j2: reads pillar", f"{SLS}: reads pillar"],
    ),
    (
        "only_maps_read_pillar",
        {SLS: "web-x:\n  file.managed:\n    - contents_pillar: web:x\n"},
        [f"{SLS}: reads pillar"],
    ),
    (
        "tunables_are_read",
        {
            "pillar/role/web.sls": "web: {port: 1, spare: 2}\nghost: {}\nverb: {url: x, other: y}\n",
            "salt/web/map.jinja": "{%- set web = pillar['web'] %}",
            SLS: "{{ web.port }}",
            "_modules/verbs.py": '__pillar__["verb"]["url"]',
        },
        [
            "pillar/role/web.sls: web.spare: not used",
            "pillar/role/web.sls: ghost: no map.jinja and no verb reads it",
            "pillar/role/web.sls: verb.other: not used",
        ],
    ),
    (
        "secrets_are_read",
        {
            "pillar/secrets/required.yaml": "web: {cookie_key: why, spare: why}\n",
            "salt/web/map.jinja": "pillar['secrets']['web']['cookie_key']",
        },
        ["pillar/secrets/required.yaml: web.spare: not used"],
    ),
    (
        "grains_grant_nothing",
        {"pillar/top.sls": "base:\n  'role:web':\n    - match: grain\n  '{{ grains['id'] }}':\n    - x\n"},
        ["pillar/top.sls:3: grains", "pillar/top.sls:4: grains"],
    ),
    ("roots_hold_only_links", {"roots/top.sls": ""}, ["roots/_modules: ../_modules", "roots/top.sls: no link"]),
    ("jinja_stays_small", {SLS: "{% set a = 1 %}\n" * 16}, [f"{SLS}: 16 lines of Jinja"]),
    (
        "jinja_stays_small",
        {SLS: "{% for a in b %}\n{% for c in a %}\n{% for d in c %}\n{% endfor %}\n{% endfor %}\n{% endfor %}\n"},
        [f"{SLS}: more than one nested loop"],
    ),
    ("pillar_is_not_masked", {"_states/a.py": 'x = __salt__["pillar.get"]("a")\n'}, ["_states/a.py:1: pillar.get"]),
    ("pillar_is_not_masked", {"pillar/a.sls": "#!py\n__salt__['pillar.item']('a')\n"}, ["pillar/a.sls:2: pillar.item"]),
    (
        "functions_have_docstrings",
        {"_modules/a.py": 'def bare():\n    pass\n\n\ndef mute():\n    """Text."""\n\n\ndef _own():\n    pass\n'},
        ["_modules/a.py:1: bare has no docstring", "_modules/a.py:5: mute has no 'CLI Example:'"],
    ),
    (
        "functions_have_docstrings",
        {"_utils/a.py": "class A:\n    def b(self):\n        pass\n"},
        ["_utils/a.py:2: b has no docstring"],
    ),
    ("no_secret_in_the_clear", {"salt/web/files/shadow": HASH}, ["salt/web/files/shadow:1: looks like a secret"]),
    (
        "no_secret_in_the_clear",
        {"pillar/a.sls": "db_password: hunter2hunter2"},
        ["pillar/a.sls:1: looks like a secret"],
    ),
    (
        "no_secret_in_the_clear",
        {"salt/web/files/key": "-----BEGIN RSA PRIVATE" + " KEY-----"},
        ["salt/web/files/key:1: looks like a secret"],
    ),
    ("nothing_is_left_to_do", {"docs/a.md": "a TO" + "DO"}, ["docs/a.md:1: TO" + "DO"]),
    ("no_index_is_named", {"a.txt": "deb http://deb.debian" + ".org/debian"}, ["a.txt:1: deb.debian" + ".org"]),
]


@pytest.fixture(scope="module")
def checkout():
    return Tree(ROOT)


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_holds(checkout, rule):
    assert RULES[rule](checkout) == []


@pytest.mark.parametrize(
    "rule, files, problems", BROKEN, ids=[f"{entry[0]}-{number}" for number, entry in enumerate(BROKEN)]
)
def test_the_rule_can_go_red(tmp_path, rule, files, problems):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = RULES[rule](Tree(tmp_path))
    assert [problem for problem in problems if problem not in found] == []
    assert rule == "roots_hold_only_links" or len(found) == len(problems), found


def test_every_rule_is_seen_red():
    assert {rule for rule, _, _ in BROKEN} == set(RULES)


def test_the_states_are_found(checkout):
    """A parser that finds nothing would let everything pass."""
    states = {state.id: state for state in checkout.states()}
    assert len(states) > 40
    assert states["sshd-service"].targets["watch"] == [("file", "sshd-config")]
    assert states["sshd-config"].arguments["mode"] == "'0600'"
