"""
Usage: provision.py, with JSON on standard input, in Misago's virtualenv

Brings the administrator and the settings that are declared in step with what it reads: test, name, email, password,
and values (setting: value). Prints what differed, {name: {"old": ..., "new": ...}}, without any secret. With test
nothing is changed.
"""

import json
import sys

import django


def main():
    """Read, compare, change, print."""
    wanted = json.load(sys.stdin)
    django.setup()
    # The settings come first: a new account is made as they say.
    changes = _values(wanted["values"], wanted["test"])
    changes.update(_admin(wanted, wanted["test"]))
    print(json.dumps(changes))


def _values(values, test):
    from misago.conf.cache import clear_settings_cache
    from misago.conf.models import Setting

    changes = {}
    for name, value in values.items():
        setting = Setting.objects.get(setting=name)
        if setting.value == value:
            continue
        changes[name] = {"old": setting.value, "new": value}
        if not test:
            setting.value = value
            setting.save()
    if changes and not test:
        clear_settings_cache()
    return changes


def _admin(wanted, test):
    from django.contrib.auth import get_user_model

    users, name = get_user_model().objects, wanted["name"]
    try:
        user = users.get_by_username(name)
    except get_user_model().DoesNotExist:
        if not test:
            _make_admin(users, wanted)
        return {f"administrator {name}": {"old": "absent", "new": "present"}}
    changes = _differing(user, wanted)
    if changes and not test:
        user.is_superuser = user.is_staff = user.is_active = True
        user.requires_activation = user.ACTIVATION_NONE
        user.set_email(wanted["email"])
        if not user.check_password(wanted["password"]):
            user.set_password(wanted["password"])
        user.save()
    return changes


def _make_admin(users, wanted):
    from misago.conf.shortcuts import get_dynamic_settings
    from misago.users.setupnewuser import setup_new_user

    user = users.create_superuser(wanted["name"], wanted["email"], wanted["password"])
    setup_new_user(get_dynamic_settings(), user)


def _differing(user, wanted):
    name, changes = wanted["name"], {}
    if not (user.is_superuser and user.is_staff and user.is_active) or user.requires_activation:
        changes[f"administrator {name}"] = {"old": "no administrator", "new": "administrator"}
    if user.email != wanted["email"]:
        changes[f"address of {name}"] = {"old": user.email, "new": wanted["email"]}
    if not user.check_password(wanted["password"]):
        changes[f"password of {name}"] = {"old": "another one", "new": "the declared one"}
    return changes


main()
