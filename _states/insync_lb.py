"""The load balancer, where it is only looked at: what it does belongs to the release verbs."""

from salt.exceptions import CommandExecutionError

__virtualname__ = "insync_lb"


def __virtual__():
    return __virtualname__


def in_step(name, wait=10):
    """
    Fail if HAProxy, its record on the disk and what the servers run do not agree on a release. It mends nothing.

    name (str): any.
    wait (float): for how many seconds they may disagree, as between two steps of a release.

    .. code-block:: yaml

        haproxy-in-step:
          insync_lb.in_step:
            - require:
              - service: haproxy-service
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "every pool is asked as it is recorded"}
    try:
        found = __salt__["lb.drift"](wait=wait)
    except CommandExecutionError as exc:
        # Where HAProxy would be installed or started first, there is nobody to ask yet.
        return {**ret, "result": __opts__["test"], "comment": str(exc)}
    if not found:
        return ret
    told = "; 'salt-run insync.release_status' shows all of it, and a release verb puts it in order: no highstate does"
    return {**ret, "result": False, "comment": "; ".join(found) + told}
