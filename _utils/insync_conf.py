"""The applications' settings as pillar declares them: plain values, where a service is, and secrets by their names."""


class ConfError(ValueError):
    """A declared value cannot be made out; the message names it and says why."""


def resolve(declared, endpoints, secrets, versions=None):
    """
    Return ``declared`` with every reference replaced.

    declared (dict): nested values; ``{secret: role:key}`` stands for a secret, ``{current_version: platform}`` for the
        current version there, and ``connect: service`` in a mapping for the host and port of that service,
        whatever else the mapping says of these.
    endpoints (dict): service -> {port, hosts: {server: full name}}.
    secrets (dict): role -> key -> value.
    versions (dict): platform -> version.
    Raises ConfError naming the value and what it refers to.
    """
    if not isinstance(declared, dict):
        raise ConfError(f"is {_kind(declared)}, where settings by their names are wanted")
    known = {"secret": secrets, "current_version": versions or {}}
    found = {key: _value(key, value, endpoints, known) for key, value in declared.items()}
    for service in found.keys() & endpoints.keys():
        if not isinstance(found[service], dict) or not {"host", "port"} <= found[service].keys():
            raise ConfError(f"{service}: has no host and port; 'connect: {service}' takes them from the inventory")
    return found


def check(values, numbers):
    """
    Raise ConfError for a value that no application can take: what is no text, or a number out of its range or place.

    values (dict): nested, as ``resolve`` returns them.
    numbers (dict): end of a name -> [lowest, highest]: what is a whole number; all else is text.
    """
    for name, value in _leaves("", values):
        span = next((span for end, span in numbers.items() if name.endswith(end)), None)
        if span and not (type(value) is int and span[0] <= value <= span[1]):
            raise ConfError(f"{name}: is not a whole number from {span[0]} to {span[1]}")
        if not span and not isinstance(value, str):
            raise ConfError(f"{name}: is {_kind(value)}, not a text; numbers are what ends in {', '.join(numbers)}")
        if not span and not value.strip():
            raise ConfError(f"{name}: is empty")


MASK = "***"


def secrets_in(declared):
    """Return the names (set of str, such as ``mysql.password``) of the secrets in ``declared`` (dict)."""
    return {name.removesuffix(".secret") for name, _ in _leaves("", declared) if name.endswith(".secret")}


def differences(held, wanted, secrets):
    """
    Return {name: {"old": value, "new": value}} of what is not in ``held`` (dict) as in ``wanted`` (dict).

    secrets (set of str): the names of the values that are masked. So is what nobody has declared: it may be a secret.
    None stands for no value.
    """
    old, new = ({name: value for name, value in _leaves("", values) if name} for values in (held, wanted))
    differing = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    masked = secrets | (old.keys() - new.keys())
    return {name: _masked(name in masked, old.get(name), new.get(name)) for name in differing}


def _masked(secret, old, new):
    return {key: MASK if secret and value is not None else value for key, value in (("old", old), ("new", new))}


_KINDS = {bool: "true or false", int: "a number", float: "a number", list: "a list", str: "a text", dict: "empty"}


def _kind(value):
    return _KINDS.get(type(value), "nothing")


def _leaves(name, value):
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), inner)
    else:
        yield name, value


def _value(name, value, endpoints, known):
    if value is None:
        raise ConfError(f"{name}: has no value")
    if not isinstance(value, dict):
        return value
    for kind, find in (("secret", _secret), ("current_version", _version)):
        others = ", ".join(sorted(str(key) for key in set(value) - {kind}))
        if kind in value and others:
            raise ConfError(f"{name}: {others} beside '{kind}', which stands for the whole value")
        if kind in value:
            return find(name, value[kind], known[kind])
    plain = {key: item for key, item in value.items() if key != "connect"}
    found = {key: _value(f"{name}.{key}", item, endpoints, known) for key, item in plain.items()}
    return {**found, **_where(name, value["connect"], endpoints)} if "connect" in value else found


def _secret(name, reference, secrets):
    role, _, key = str(reference).partition(":")
    try:
        return secrets[role][key]
    except KeyError:
        raise ConfError(f"{name}: there is no secret {reference}; see pillar/secrets/") from None


def _version(name, platform, versions):
    if not isinstance(platform, str) or platform not in versions:
        raise ConfError(f"{name}: there is no current version of '{platform}'; those that are: {', '.join(versions)}")
    return versions[platform]


def _where(name, service, endpoints):
    if not isinstance(service, str) or service not in endpoints:
        raise ConfError(f"{name}: there is no service '{service}'; those that are: {', '.join(endpoints)}")
    return {"host": next(iter(endpoints[service]["hosts"].values())), "port": endpoints[service]["port"]}
