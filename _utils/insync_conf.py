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
