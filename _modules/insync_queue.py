"""The operators' verbs on a server with the queue of mails."""

import insync_beanstalkd
import insync_errors
import insync_lock
import insync_queue
import insync_verb
from salt.exceptions import CommandExecutionError, SaltInvocationError

__virtualname__ = "insync"

_told = insync_errors.told(insync_beanstalkd.QueueError, insync_lock.Held)
_MOST = 10000


def __virtual__():
    return __virtualname__


@_told
def queue_status():
    """
    Tell what is in this server's queue and in the outbox at this moment, and what is wrong.

    It puts a job into a tube that nobody watches, to see that it is written to the disk, and deletes it.

    Returns a dict: server, problems (list of str, empty if all is well), version, uptime, draining, written, tubes
    (each with ready, reserved, delayed, buried, workers, oldest_ready and oldest_buried in seconds), space (free and
    binlog, in bytes), and outbox: waiting (not in the queue yet), unconfirmed (in the queue, not sent), buried (given
    up), refused (too large for the queue), oldest_seconds; None if this server has no mailer.
    Raises CommandExecutionError if it cannot be known: the queue, or the mailer about the outbox, does not answer.

    CLI Example:

    .. code-block:: bash

        salt beanstalkd insync.queue_status
    """
    declared = _declared()
    with _connected() as queue:
        found = insync_queue.seen(queue)
    room, mails = insync_queue.space(), None
    if "mailer" in __pillar__.get("apps", {}):
        mails = insync_queue.outbox(__pillar__["apps"]["mailer"]["port"])
    wrong = insync_queue.problems(found, room, mails, declared)
    return {"server": __grains__["id"], "problems": wrong, **found, "space": room, "outbox": mails}


@_told
def queue_kick(tube="mail", limit=100, *, test=False, **kwargs):
    """
    Let buried jobs be tried again, the oldest first; their tries count anew.

    tube (str): where they are buried. limit (int): at most so many. test (bool): only tell how many there are.

    Returns a dict: tube, kicked (how many, or how many it would be), buried (how many are left). Raises
    CommandExecutionError if there is no such tube, or the queue does not answer; what was kicked until then stays so.

    CLI Example:

    .. code-block:: bash

        salt beanstalkd insync.queue_kick
        salt beanstalkd insync.queue_kick mail 10 test=True
    """
    test = insync_verb.flag(test=test)
    if not insync_beanstalkd.TUBE.fullmatch(str(tube)):
        raise SaltInvocationError(f"tube={tube}: is not the name of a tube")
    if not str(limit).isascii() or not str(limit).isdigit() or not 1 <= int(limit) <= _MOST:
        raise SaltInvocationError(f"limit={limit}: is not a number from 1 to {_MOST}")
    _declared()
    verb = f"insync.queue_kick {tube} {limit}"
    run = insync_verb.called(insync_queue.AREA, verb, kwargs, __grains__["id"], test)
    with run as (_, done), _connected() as queue:
        if tube not in (there := queue.tubes()):
            raise CommandExecutionError(f"tube={tube}: there is none; there is {', '.join(there)}")
        buried = int(queue.tube(tube)["current-jobs-buried"])
        # One that is buried anew meanwhile has had its turn.
        most = min(buried, int(limit))
        kicked = most if test else queue.kick(tube, most)
        done |= {"tube": tube, "kicked": kicked, "buried": max(0, buried - kicked)}
        return dict(done)


def _declared():
    if "beanstalkd" not in __pillar__:
        raise CommandExecutionError("this server has no queue")
    return __pillar__["beanstalkd"]


def _connected():
    return insync_beanstalkd.connected(__pillar__["host"]["private"], __pillar__["endpoints"]["beanstalkd"]["port"])
