"""The applications' settings as pillar declares them: plain values, where a service is, and secrets by their names."""


class ConfError(ValueError):
    """A declared value cannot be made out; the message names it and says why."""


def resolve(declared, endpoints, secrets):
    """
    Return ``declared`` with every reference replaced.

    declared (dict): nested values; ``{secret: role:key}`` stands for a secret, and ``connect: service`` in a mapping
        for the host and port of that service.
    endpoints (dict): service -> {port, hosts: {server: full name}}.
    secrets (dict): role -> key -> value.
    Raises ConfError naming the value and what it refers to.
    """
    return {key: _value(key, value, endpoints, secrets) for key, value in declared.items()}


def check(values, numbers):
    """
    Raise ConfError for a value that no application can take: an empty text, or a number out of its range or its place.

    values (dict): nested, as ``resolve`` returns them.
    numbers (dict): end of a name -> [lowest, highest]: what is a whole number; all else is text, a switch or a list.
    """
    for name, value in _leaves("", values):
        span = next((span for end, span in numbers.items() if name.endswith(end)), None)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if span and not (number and isinstance(value, int) and span[0] <= value <= span[1]):
            raise ConfError(f"{name}: is not a whole number from {span[0]} to {span[1]}")
        if number and not span:
            raise ConfError(f"{name}: is a number, not a text; numbers are what ends in {', '.join(numbers)}")
        if isinstance(value, str) and not value.strip():
            raise ConfError(f"{name}: is empty")


def _leaves(name, value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), inner)
    else:
        yield name, value


def _value(name, value, endpoints, secrets):
    if value is None:
        raise ConfError(f"{name}: has no value")
    if not isinstance(value, dict):
        return value
    if set(value) == {"secret"}:
        return _secret(name, value["secret"], secrets)
    plain = {key: item for key, item in value.items() if key != "connect"}
    found = {key: _value(f"{name}.{key}", item, endpoints, secrets) for key, item in plain.items()}
    return {**_where(name, value["connect"], endpoints), **found} if "connect" in value else found


def _secret(name, reference, secrets):
    role, _, key = str(reference).partition(":")
    try:
        return secrets[role][key]
    except KeyError:
        raise ConfError(f"{name}: there is no secret {reference}; see pillar/secrets/") from None


def _where(name, service, endpoints):
    if service not in endpoints:
        raise ConfError(f"{name}: there is no service '{service}'; those that are: {', '.join(endpoints)}")
    return {"host": next(iter(endpoints[service]["hosts"].values())), "port": endpoints[service]["port"]}
