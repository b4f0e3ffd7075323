"""Every rule of the inventory refuses an example that breaks it, with exactly the words that the example expects."""

import json
import pathlib
import shutil

import insync_inventory
import insync_inventory_rules as rules
import insync_primaries
import jsonschema
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = sorted(pathlib.Path(__file__).with_name("broken").glob("*.yaml"))


class Copy:
    """A copy of the real inventory and of the real roles' folder, to be broken."""

    def __init__(self, folder):
        self.directory = shutil.copytree(ROOT / "pillar" / "inventory", folder / "inventory")
        self.roles_dir = shutil.copytree(ROOT / "salt" / "role", folder / "role")

    def problems(self):
        return insync_inventory.problems(self.directory, roles_dir=self.roles_dir)

    def edit(self, path, change):
        """Apply ``change(mapping or list, key)`` where ``path`` ("hosts.web02.roles.0") leads, and write the file."""
        name, *keys, last = path.split(".")
        data = place = insync_inventory.read(self.directory, name)
        for key in keys:
            place = place[_key(place, key)]
        change(place, _key(place, last))
        (self.directory / f"{name}.yaml").write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")

    def apply(self, example):
        """Break the copy as ``example`` says: each of its keys but ``expect`` is a method below."""
        for kind, value in example.items():
            if kind != "expect":
                getattr(self, kind)(value)

    def set(self, values):
        for path, value in values.items():
            self.edit(path, lambda place, key, value=value: place.__setitem__(key, value))

    def delete(self, paths):
        for path in paths:
            self.edit(path, lambda place, key: place.pop(key))

    def rename(self, names):
        for path, name in names.items():
            self.edit(path, lambda place, key, name=name: place.__setitem__(name, place.pop(key)))

    def write(self, texts):
        for file, text in texts.items():
            (self.directory / file).write_text(text, encoding="utf-8")

    def write_hex(self, texts):
        for file, text in texts.items():
            (self.directory / file).write_bytes(bytes.fromhex(text))

    def unlink(self, files):
        for file in files:
            (self.directory / file).unlink()

    def add_roles(self, roles):
        for role in roles:
            (self.roles_dir / role).mkdir()

    def absent(self, roles):
        for role in roles:
            (self.roles_dir / role / "absent.sls").touch()

    def remove_roles(self, roles):
        for role in roles:
            shutil.rmtree(self.roles_dir / role)


def _key(place, key):
    return int(key) if isinstance(place, list) else key


@pytest.fixture
def copy(tmp_path):
    return Copy(tmp_path)


class Examples:
    """What became of every example, in one pass: what it is refused with, and who had something to say."""

    def __init__(self, folder):
        self.refused, self.rules, self.keywords = {}, set(), set()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rules, "_line", self._keyword(rules._line))
            for name in ("RULES", "RULES_OF_ROLES"):
                patch.setattr(rules, name, [self._rule(rule) for rule in getattr(rules, name)])
            for path in EXAMPLES:
                copy = Copy(folder / path.stem)
                copy.apply(_example(path))
                self.refused[path] = copy.problems()

    def _rule(self, rule):
        def watched(*arguments):
            lines = list(rule(*arguments))
            if lines:
                self.rules.add(rule.__name__)
            return lines

        return watched

    def _keyword(self, line):
        def watched(error):
            self.keywords.add((error.validator, error.validator_value if error.validator == "format" else ""))
            return line(error)

        return watched


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return Examples(tmp_path_factory.mktemp("broken"))


def _example(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_an_unbroken_copy_is_in_order(copy):
    assert copy.problems() == []


def test_a_role_that_a_server_has_left_needs_nobody_who_plays_it(copy):
    copy.apply({"add_roles": ["gone"], "absent": ["gone"]})
    assert copy.problems() == ["salt/role/gone: has no init.sls, and no server has left it"]
    copy.apply({"set": {"hosts.web02.retired": ["gone"]}})
    assert copy.problems() == []


def test_states_for_a_server_to_come_need_nobody_who_plays_them(copy):
    copy.add_roles(["coming"])
    (copy.roles_dir / "coming" / "init.sls").touch()
    copy.apply({"set": {"services.radar.role": "coming", "services.mysql.clients": ["web", "coming"]}})
    assert copy.problems() == []


def test_a_database_may_be_left_when_its_clients_have_or_another_server_plays_it(copy):
    stays = ["redis", "beanstalkd", "conf_server"]
    copy.apply({"set": {"hosts.staging.roles": stays, "hosts.staging.retired": ["mysql_primary"]}})
    assert copy.problems() == []
    copy.apply({"set": {"hosts.staging.roles": ["mailer", "mail_sink"], "hosts.dev02.environment": "staging"}})
    copy.apply({"set": {"hosts.dev02.roles": ["mysql_primary"]}})
    assert copy.problems() == []


def test_one_balancer_may_take_over_from_another(copy):
    copy.apply({"set": {"hosts.dev02.roles": ["web_lb"]}})
    assert copy.problems() == []
    copy.apply({"delete": ["services.https.shared"]})
    (said,) = copy.problems()
    assert said.startswith("services.yaml: https.names: web-lb02, dev02 would all be www.insynchq.com; ")


MOVED = {
    "the new one is a replica": {"hosts.dev02.roles": ["mysql_replica"]},
    "the new one is the primary": {"hosts.dev02.roles": ["mysql_primary"], "hosts.db.roles": ["mysql_replica"]},
    "the old one is none": {"hosts.db.roles": [], "hosts.db.retired": ["mysql_replica"]},
}


@pytest.mark.parametrize("switched", [None, "dev02"])
def test_a_primary_that_has_a_replica_moves_to_another_server_as_its_page_tells(copy, tmp_path, monkeypatch, switched):
    monkeypatch.setattr(insync_primaries, "FILE", tmp_path / "primaries.json")
    for step, said in MOVED.items():
        copy.apply({"set": said})
        assert copy.problems() == [], step
        if switched:
            insync_primaries.write("production", switched)
        hosts = insync_inventory.load(copy.directory)["hosts"]
        assert [name for name in ("db", "dev02") if "mysql_primary" in hosts[name]["roles"]] == [
            switched or ("db" if step == "the new one is a replica" else "dev02")
        ]


@pytest.mark.parametrize(
    ("server", "role"), [("dev", "wiki"), ("wiki", "forum"), ("ct1", "mrkr"), ("sentry", "hg_server")]
)
def test_web_sites_share_a_server_if_names_or_networks_tell_them_apart(copy, server, role):
    hosts = insync_inventory.read(copy.directory, "hosts")
    (former,) = [name for name in hosts if role in hosts[name]["roles"]]
    stays = [one for one in hosts[former]["roles"] if one != role]
    copy.apply({"set": {f"hosts.{former}.roles": stays, f"hosts.{server}.roles": [*hosts[server]["roles"], role]}})
    assert copy.problems() == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_broken_inventory_is_refused(examples, path):
    assert examples.refused[path] == _example(path)["expect"]


@pytest.mark.parametrize("name", [rule.__name__ for rule in (*rules.RULES, *rules.RULES_OF_ROLES)])
def test_no_rule_can_be_lost_unnoticed(examples, name):
    assert name in examples.rules


def test_every_keyword_and_format_of_the_schema_has_an_example(examples):
    schema = json.loads((ROOT / "pillar" / "inventory" / "schema.json").read_text(encoding="utf-8"))
    assert examples.keywords == set(_constraints(schema))


def _constraints(schema):
    """The keywords of a schema that can refuse something; its properties' names are no keywords."""
    for keyword, value in schema.items():
        if keyword in ("properties", "$defs"):
            for part in value.values():
                yield from _constraints(part)
        elif isinstance(value, dict):
            yield from _constraints(value)
        elif keyword not in ("$schema", "title", "$ref"):
            yield keyword, value if keyword == "format" else ""


def test_the_schema_is_one_and_knows_no_format_that_is_not_checked():
    schema = json.loads((ROOT / "pillar" / "inventory" / "schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert {value for keyword, value in _constraints(schema) if keyword == "format"} == set(rules.FORMATS)
