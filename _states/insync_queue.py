"""The room that the queue's log has."""

import insync_queue

__virtualname__ = "insync_queue"


def __virtual__():
    return __virtualname__


def roomy(name, free_min, binlog_max):
    """
    Fail while the queue's log has little room left, or is larger than it should be. It changes nothing.

    On a full disk beanstalkd takes no job, and once stopped it does not start again: it is to be seen before.

    name (str): the folder of the log.
    free_min (str): how much has to be free there, such as 512M.
    binlog_max (str): how large the log may be.

    .. code-block:: yaml

        beanstalkd-space:
          insync_queue.roomy:
            - name: /var/lib/beanstalkd
            - free_min: 512M
            - binlog_max: 1G
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": "the queue's log has room"}
    try:
        tight = list(insync_queue.tight(insync_queue.space(name), free_min, binlog_max))
    except FileNotFoundError:
        # It comes with the package.
        return {**ret, "result": __opts__["test"], "comment": f"there is no {name} yet"}
    except (OSError, ValueError) as exc:
        return {**ret, "result": False, "comment": f"it cannot be known how much room the queue's log has: {exc}"}
    if tight:
        remedy = "'insync.queue_status' tells what is in the queue"
        return {**ret, "result": False, "comment": f"{'; '.join(tight)}; {remedy}"}
    return ret
