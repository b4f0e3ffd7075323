"""What the declared settings come to."""

import insync_conf
import pytest

ENDPOINTS = {"mysql": {"port": 3306, "hosts": {"db": "db.example.internal"}}}
SECRETS = {"mysql_primary": {"web_password": "s3cret"}}
VERSIONS = {"mac": "3.9.6"}


def test_references_are_replaced_and_the_rest_stays():
    declared = {
        "greeting": "Hello",
        "limits": {"seconds": 5, "names": ["a", "b"]},
        "mysql": {"connect": "mysql", "user": "web", "password": {"secret": "mysql_primary:web_password"}},
        "elsewhere": {"connect": "mysql", "port": 3307},
        "versions": {"mac": {"current_version": "mac"}},
    }
    assert insync_conf.resolve(declared, ENDPOINTS, SECRETS, VERSIONS) == {
        "greeting": "Hello",
        "limits": {"seconds": 5, "names": ["a", "b"]},
        "mysql": {"host": "db.example.internal", "port": 3306, "user": "web", "password": "s3cret"},
        "elsewhere": {"host": "db.example.internal", "port": 3306},
        "versions": {"mac": "3.9.6"},
    }


NUMBERS = {"port": [1, 65535], "_seconds": [1, 60]}


def test_values_that_an_application_can_take_pass():
    insync_conf.check({"a": "text", "mysql": {"port": 3306}, "delay_seconds": 5}, NUMBERS)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"mysql": {"port": 70000}}, "mysql.port: is not a whole number from 1 to 65535"),
        ({"mysql": {"port": "3306"}}, "mysql.port: is not a whole number from 1 to 65535"),
        ({"retry": {"delay_seconds": 1.5}}, "retry.delay_seconds: is not a whole number from 1 to 60"),
        ({"retry": {"delay_seconds": True}}, "retry.delay_seconds: is not a whole number from 1 to 60"),
        ({"greeting": 5}, "greeting: is a number, not a text; numbers are what ends in port, _seconds"),
        ({"greeting": " "}, "greeting: is empty"),
        ({"greeting": True}, "greeting: is true or false, not a text; numbers are what ends in port, _seconds"),
        ({"greeting": ["x"]}, "greeting: is a list, not a text; numbers are what ends in port, _seconds"),
        ({"limits": {}}, "limits: is empty, not a text; numbers are what ends in port, _seconds"),
    ],
)
def test_a_value_that_no_application_can_take_is_named(values, message):
    with pytest.raises(insync_conf.ConfError) as caught:
        insync_conf.check(values, NUMBERS)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "declared, message",
    [
        ({"greeting": None}, "greeting: has no value"),
        ({"mysql": {"user": None}}, "mysql.user: has no value"),
        ({"mysql": {"connect": "mysq"}}, "mysql: there is no service 'mysq'; those that are: mysql"),
        ({"a": {"b": {"secret": "mysql_primary:x"}}}, "a.b: there is no secret mysql_primary:x; see pillar/secrets/"),
        ({"a": {"secret": "nobody:web_password"}}, "a: there is no secret nobody:web_password; see pillar/secrets/"),
        ({"a": {"secret": 5}}, "a: there is no secret 5; see pillar/secrets/"),
        ({"a": {"secret": "a:b", "x": 1}}, "a: x beside 'secret', which stands for the whole value"),
        ({"a": {"current_version": "linux"}}, "a: there is no current version of 'linux'; those that are: mac"),
        ({"a": {"current_version": ["mac"]}}, "a: there is no current version of '['mac']'; those that are: mac"),
        ({"a": {"current_version": "mac", "x": 1}}, "a: x beside 'current_version', which stands for the whole value"),
        ({"mysql": {"connect": ["mysql"]}}, "mysql: there is no service '['mysql']'; those that are: mysql"),
        ({"mysql": "text"}, "mysql: has no host and port; 'connect: mysql' takes them from the inventory"),
        ({"mysql": {"user": "web"}}, "mysql: has no host and port; 'connect: mysql' takes them from the inventory"),
        ("text", "is a text, where settings by their names are wanted"),
        (None, "is nothing, where settings by their names are wanted"),
    ],
)
def test_what_cannot_be_made_out_is_named(declared, message):
    with pytest.raises(insync_conf.ConfError) as caught:
        insync_conf.resolve(declared, ENDPOINTS, SECRETS, VERSIONS)
    assert str(caught.value) == message
