"""Servers that are to go, and what the inventory still has others use of them."""

import urllib.parse

import insync_inventory


def candidates(inventory):
    """
    Return the candidates for removal or merging in ``inventory`` (dict, from insync_inventory.load).

    A list of dict: server, for, reason, waits_for, frozen (yes or ""), still_used (str, "nothing" if it is so).
    """
    return [
        {
            "server": name,
            "for": host["candidate"]["for"],
            "reason": host["candidate"]["reason"],
            "waits_for": host["candidate"]["waits_for"],
            "frozen": "yes" if host.get("frozen") else "",
            "still_used": "; ".join(used(inventory, name)) or "nothing",
        }
        for name, host in inventory["hosts"].items()
        if host["lifecycle"] == "candidate"
    ]


def used(inventory, host):
    """
    Return what others use of ``host`` (str), as the inventory declares it: a list of str.

    Services with their clients and, if there are, the other servers that offer them too; public names; redirects that
    it answers, and those that lead to a name of it. The ssh of every server does not count.
    """
    lines = [_service(inventory, host, name) for name in _offered(inventory, host)]
    redirects, names = inventory["zones"]["redirects"], _names(inventory, host)
    answered = [one["name"] for one in redirects if one["host"] == host]
    lines += [f"answers for {', '.join(answered)}"] if answered else []
    leading = [one["name"] for one in redirects if urllib.parse.urlsplit(one["to"]).hostname in names]
    lines += [f"is where {', '.join(leading)} {'leads' if len(leading) == 1 else 'lead'}"] if leading else []
    return [line for line in lines if line]


def _names(inventory, host):
    environment = insync_inventory.environment_of(inventory, host)
    services = insync_inventory.services_of(inventory, host).values()
    return {name for service in services for name in insync_inventory.names_of(service, environment)}


def _offered(inventory, host):
    services = insync_inventory.services_of(inventory, host)
    return [name for name, service in services.items() if service["role"] != insync_inventory.BASE]


def _service(inventory, host, name):
    clients = [
        client for client, server, service in insync_inventory.flows(inventory) if (server, service) == (host, name)
    ]
    if not clients:
        return ""
    environment = insync_inventory.environment_of(inventory, host)
    alike = [one for one in inventory["hosts"] if insync_inventory.environment_of(inventory, one) == environment]
    others = [one for one in alike if one != host and name in insync_inventory.services_of(inventory, one)]
    names = insync_inventory.names_of(inventory["services"][name], environment)
    text = f"{name} ({', '.join(names)})" if names else name
    return f"{text} by {', '.join(clients)}" + (f", as on {', '.join(others)}" if others else "")
