"""What roles need that only their tunables tell: whom the applications are sent to, what CI is, and what the forum."""

import pathlib
import re

import insync_conf
import insync_inventory
import insync_secrets
import insync_settings
import insync_site
import salt.utils.dictupdate

CONF, SINK, SINK_SERVICE = "conf_server", "mail_sink", "mail-sink"
# Who hands mails on, and who makes them besides.
SENDING = "mailer"
MAILING = ("web", SENDING)
CI, REPOSITORIES, INDEX = insync_inventory.CI, "hg_server", "pypi_server"
# The second runs tests only, whatever its settings say of passwords.
PUBLISHING, TESTING = CI
ENGINES = ("none", "buildbot", "drone")
FORUM, FORUMS = "forum", ("none", "misago")
# How somebody becomes a member; by a link, it has to be sent.
REGISTRATIONS, BY_LINK = ("none", "user", "admin", "closed"), "user"


def problems(roots, inventory):
    """
    Return what is wrong, a line (str) each.

    roots (list of str): the pillar roots; the site folder is the last one.
    inventory (dict): as insync_inventory.load returns it.
    Raises insync_site.SiteError for a file that cannot be read.
    """
    checks = (_conf, _mail, _errors, _engine, _publish, _packages, _forum)
    return [line for host in inventory["hosts"] for check in checks for line in check(roots, inventory, host)] + [
        line for environment in insync_inventory.environments(inventory) for line in _alone(inventory, environment)
    ]


def tunables(roots, inventory, host):
    """
    Return the tunables (dict) of ``host`` (str) as its pillar has them: its roles', the site's, its environment's.

    Arguments and exceptions as of ``problems``.
    """
    roles, found = insync_inventory.roles_of(inventory, host), {}
    files = [f"role/{role}.sls" for role in roles]
    there = [file for file in files if any(pathlib.Path(root, file).is_file() for root in roots)]
    parts = [insync_site.read(roots, file) for file in there] + [insync_settings.for_roles(roots, roles)]
    environment = insync_inventory.environment_of(inventory, host)
    if environment != insync_inventory.PRODUCTION:
        parts.append(_of_environment(roots, environment))
    for part in parts:
        salt.utils.dictupdate.update(found, part)
    return found


def _of_environment(roots, environment):
    file = _file(environment)
    if not pathlib.Path(roots[0], file).is_file():
        raise insync_site.SiteError(f"pillar/{file}: is missing; docs/environments.md tells what it says")
    return insync_site.read(roots, file)


def _file(environment):
    return f"environment/{environment}.sls"


def _where(inventory, host):
    """The file that has the last word about what an application is told."""
    environment = insync_inventory.environment_of(inventory, host)
    return f"role/{CONF}.sls" if environment == insync_inventory.PRODUCTION else _file(environment)


def _namespaces(roots, inventory, host):
    if CONF not in insync_inventory.roles_of(inventory, host):
        return {}
    return tunables(roots, inventory, host)["conf"]["namespaces"]


def _part(declared, key):
    """What is no mapping is refused elsewhere."""
    return _mapping(_mapping(declared).get(key))


def _mapping(found):
    return found if isinstance(found, dict) else {}


def _conf(roots, inventory, host):
    """Every service and secret that an application is to be told has to be there for its environment."""
    namespaces = _namespaces(roots, inventory, host)
    if not namespaces:
        return
    environment = insync_inventory.environment_of(inventory, host)
    roles = insync_inventory.roles_of(inventory, host)
    endpoints = insync_inventory.endpoints(insync_inventory.seen_from(inventory, environment))
    providers = insync_inventory.providers(inventory, environment)
    secrets = insync_secrets.for_roles(roots, roles, environment, providers)
    versions = tunables(roots, inventory, host)["current_versions"]["declared"]
    for name, declared in namespaces.items():
        try:
            insync_conf.resolve(declared, endpoints, secrets, versions)
        except insync_conf.ConfError as exc:
            yield f"pillar/{_where(inventory, host)}: conf.namespaces.{name} for {host}: {exc}"


def _mail(roots, inventory, host):
    """Where mail is to reach nobody, none may go to the relay because somebody has forgotten to say so."""
    environment = insync_inventory.environment_of(inventory, host)
    if SINK not in insync_inventory.roles_in(inventory, environment):
        return
    roles = insync_inventory.roles_of(inventory, host)
    if SENDING in roles and SINK not in roles:
        yield f"hosts.yaml: {host}.roles: '{SENDING}' trusts a '{SINK}' of its own server only; let it play both"
    for name, declared in _namespaces(roots, inventory, host).items():
        mails = isinstance(declared, dict) and "smtp" in declared
        if mails and _part(declared, "smtp").get("connect") != SINK_SERVICE:
            reason = f"has to say 'connect: {SINK_SERVICE}': a server of {environment} plays '{SINK}'"
            yield f"pillar/{_where(inventory, host)}: conf.namespaces.{name}.smtp for {host}: {reason}"


def _alone(inventory, environment):
    """An environment that has no conf server is told what production is, its relay for one."""
    roles = insync_inventory.roles_in(inventory, environment)
    mailing = [role for role in MAILING if role in roles]
    if SINK in roles and mailing and CONF not in roles:
        reason = f"'{SINK}' gets no mail of {', '.join(mailing)} without a '{CONF}' of the environment's own"
        yield f"hosts.yaml: environment {environment}: {reason}"


def _errors(roots, inventory, host):
    """Errors of another environment are not to be taken for production's."""
    if insync_inventory.environment_of(inventory, host) == insync_inventory.PRODUCTION:
        return
    for name, declared in _namespaces(roots, inventory, host).items():
        if _part(declared, "sentry").get("environment") == insync_inventory.PRODUCTION:
            reason = "its errors would be taken for production's; name the environment"
            yield f"pillar/{_where(inventory, host)}: conf.namespaces.{name}.sentry.environment for {host}: {reason}"


def _engine(roots, inventory, host):
    """CI without what its engine needs would fail the whole highstate of its server."""
    for role in (role for role in CI if role in insync_inventory.roles_of(inventory, host)):
        ci = tunables(roots, inventory, host)["ci"]
        environment = insync_inventory.environment_of(inventory, host)
        where = f"{insync_settings.FILE}: {role}.ci"
        if ci["engine"] not in ENGINES:
            yield f"{where}.engine: '{ci['engine']}' is not one of {', '.join(ENGINES)}"
        if ci["engine"] == "drone" and not ci["drone"]["url"]:
            yield f"{where}.drone.url: is missing; engine drone needs to know where its program is"
        if ci["engine"] == "drone" and not re.fullmatch(r"[0-9a-f]{64}", str(ci["drone"]["sha256"])):
            yield f"{where}.drone.sha256: is no checksum of 64 digits; engine drone needs that of its program"
        if ci["engine"] == "buildbot" and REPOSITORIES not in insync_inventory.providers(inventory, environment):
            yield f"{where}.engine: buildbot reads repositories, and no server plays '{REPOSITORIES}'"


def _publish(roots, inventory, host):
    """What is to be published where CI may not do so would fail the highstate, or be refused by the index."""
    for role in (role for role in CI if role in insync_inventory.roles_of(inventory, host)):
        ci = tunables(roots, inventory, host)["ci"]
        where = f"{insync_settings.FILE}: {role}.ci"
        if role == TESTING and "upload" in ci["secrets"]:
            yield f"{where}.secrets.upload: '{role}' may not publish"
        reason = f"'{role}' may not publish" if role == TESTING else f"without {role}.ci.secrets.upload nothing can be"
        if role == TESTING or "upload" not in ci["secrets"]:
            yield from (f"{where}.projects.{name}.publish: {reason}" for name in _published(ci))
            continue
        indexes = _devpi(roots, inventory, host).get("indexes", {})
        for name, index in _published(ci).items() if indexes else ():
            if ci["upload_user"] not in indexes.get(index, {}).get("uploaders", ()):
                reason = f"'{ci['upload_user']}' may not upload to '{index}'; see devpi.indexes"
                yield f"{where}.projects.{name}.publish: {reason} in pillar/role/{INDEX}.sls"


def _published(ci):
    """{project: the index that gets it}."""
    return {name: project["publish"] for name, project in ci["projects"].items() if "publish" in _mapping(project)}


def _packages(roots, inventory, host):
    """What has a name that is not ours the index would refuse, or fetch from the public one: it may be anybody's."""
    said = tunables(roots, inventory, host)
    named = {f"apps.{name}.package": app["package"] for name, app in said.get("apps", {}).items()}
    builds = PUBLISHING in insync_inventory.roles_of(inventory, host)
    for name, project in said["ci"]["projects"].items() if builds else ():
        if "publish" in _mapping(project):
            named[f"ci.projects.{name}.package"] = project.get("package")
    reserved = _devpi(roots, inventory, host).get("reserved_prefixes", ()) if named else ()
    prefixes = tuple(_normal(prefix) for prefix in reserved)
    for where, package in named.items() if prefixes else ():
        if not _normal(package).startswith(prefixes):
            reason = f"'{package}' is no name of ours for the package index; those begin with {' or '.join(prefixes)}"
            yield f"pillar of {host}: {where}: {reason}"


def _devpi(roots, inventory, host):
    """The tunables (dict) of the package index that ``host`` knows; {} if there is none."""
    seen = insync_inventory.seen_from(inventory, insync_inventory.environment_of(inventory, host))
    found = insync_inventory.hosts_with(seen, INDEX)
    return tunables(roots, inventory, found[0])["devpi"] if found else {}


def _normal(name):
    """As indexes compare names."""
    return re.sub(r"[-_.]+", "-", str(name)).lower()


def _forum(roots, inventory, host):
    """A forum that nobody can enter, or a state that fails, is told before."""
    if FORUM not in insync_inventory.roles_of(inventory, host):
        return
    said, where = tunables(roots, inventory, host), f"{insync_settings.FILE}: {FORUM}"
    engine, misago = said["forum"]["engine"], said["misago"]
    registration, mail = misago["registration"], misago["mail"]
    if engine not in FORUMS:
        yield f"{where}.forum.engine: '{engine}' is not one of {', '.join(FORUMS)}"
    if registration not in REGISTRATIONS:
        yield f"{where}.misago.registration: '{registration}' is not one of {', '.join(REGISTRATIONS)}"
    for key in ("host", "user") if registration == BY_LINK else ():
        if not mail[key]:
            reason = f"is missing; registration '{BY_LINK}' sends a link through the relay"
            yield f"{where}.misago.mail.{key}: {reason}"
