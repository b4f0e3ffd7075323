"""
Usage: provision.py, with JSON on standard input, in Bugsink's virtualenv

Brings the administrator, the token that reads, the team and the projects in step with what it reads: test, admin,
password, token, team, and projects (name: number, key, max_events). Prints what differed, {name: {"old": ..., "new":
...}}, without any secret. With test nothing is changed.
"""

import json
import sys

import django

TOKEN = "insync: read only"
READS = {"issues_read", "events_read", "releases_read", "projects_read", "teams_read"}
SECRET = "another one"


def main():
    """Read, compare, change, print."""
    wanted = json.load(sys.stdin)
    django.setup()
    changes = {}
    for step in (_admin, _token, _team, _projects):
        changes.update(step(wanted, wanted["test"]))
    print(json.dumps(changes))


def _admin(wanted, test):
    from users.models import User

    email, password = wanted["admin"], wanted["password"]
    user = User.objects.filter(username=email).first()
    if user is None:
        if not test:
            User.objects.create_superuser(username=email, email=email, password=password)
        return {f"administrator {email}": {"old": "absent", "new": "present"}}
    changes = {}
    if not (user.is_superuser and user.is_staff and user.is_active):
        changes[f"administrator {email}"] = {"old": "no administrator", "new": "administrator"}
        user.is_superuser = user.is_staff = user.is_active = True
    if not user.check_password(password):
        changes[f"password of {email}"] = {"old": SECRET, "new": "the declared one"}
        user.set_password(password)
    if changes and not test:
        user.save()
    return changes


def _token(wanted, test):
    from bsmain.models import AuthToken
    from bugsink.api_capabilities import CAPABILITY_FIELD_NAMES

    there = list(AuthToken.objects.filter(description=TOKEN))
    rights = {field: field in READS for field in CAPABILITY_FIELD_NAMES.values()}
    bound = {"is_user_bound": False, "is_project_bound": False, "user": None, "project": None, "expires_at": None}
    good = {"token": wanted["token"], **bound, **rights}
    if len(there) == 1 and all(getattr(there[0], field) == value for field, value in good.items()):
        return {}
    if not test:
        AuthToken.objects.filter(description=TOKEN).delete()
        AuthToken.objects.filter(token=wanted["token"]).delete()
        AuthToken.objects.create(description=TOKEN, **good)
    return {"token that reads": {"old": SECRET if there else "absent", "new": "the declared one"}}


def _team(wanted, test):
    from teams.models import Team

    if Team.objects.filter(name=wanted["team"]).exists():
        return {}
    if not test:
        Team.objects.create(name=wanted["team"])
    return {f"team {wanted['team']}": {"old": "absent", "new": "present"}}


def _projects(wanted, test):
    from projects.models import Project

    changes = {}
    for name, declared in wanted["projects"].items():
        changes |= _project(Project, name, declared, wanted["team"], test)
    return changes


def _project(projects, name, declared, team, test):
    project = projects.objects.filter(pk=declared["number"]).first()
    if project is None:
        project, before = projects(pk=declared["number"], slug=name), None
    else:
        before = _facts(project)
    after = {"name": name, "team": team, "key": declared["key"], "max_events": declared["max_events"], "deleted": False}
    if before == after:
        return {}
    if not test:
        _save(project, after)
    if before is None:
        return {f"project {name}": {"old": "absent", "new": "present"}}
    differing = [key for key in after if before[key] != after[key]]
    return {f"{key} of project {name}": _shown(key, before[key], after[key]) for key in differing}


def _shown(key, old, new):
    return {"old": SECRET, "new": "the declared one"} if key == "key" else {"old": old, "new": new}


def _facts(project):
    return {
        "name": project.name,
        "team": project.team.name if project.team else None,
        "key": project.sentry_key.hex,
        "max_events": project.retention_max_event_count,
        "deleted": project.is_deleted,
    }


def _save(project, facts):
    import uuid

    from teams.models import Team

    project.name, project.team = facts["name"], Team.objects.get(name=facts["team"])
    project.sentry_key, project.retention_max_event_count = uuid.UUID(facts["key"]), facts["max_events"]
    project.is_deleted = facts["deleted"]
    project.save()


main()
