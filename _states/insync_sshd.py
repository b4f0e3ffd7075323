"""A change of sshd is kept once it is proven that nobody is locked out."""

import pathlib

import insync_sshd
import insync_systemd

__virtualname__ = "insync_sshd"


def __virtual__():
    return __virtualname__


def confirmed(name, operators, **_):
    """
    Confirm a change of sshd that waits for it: if every operator may enter, as far as sshd decides that.

    name (str): ``address:port`` where they do.
    operators (dict): name -> public keys (list of str).

    What is not proven is left to the timer, which puts back what was there before, and to whoever knows better.

    .. code-block:: yaml

        sshd-confirmed:
          insync_sshd.confirmed:
            - name: 10.0.0.2:22
            - operators: {alice: [ssh-ed25519 AAAA...]}
            - watch:
              - file: sshd-config
    """
    return _apply(name, operators, insync_sshd.pending())


def absent(name):
    """
    Remove a file of sshd's settings that a role has left: as with other changes of it, what nobody confirms comes back.

    name (str): its path.

    .. code-block:: yaml

        hg-absent-sshd:
          insync_sshd.absent:
            - name: /etc/ssh/sshd_config.d/hg.conf
            - watch_in:
              - insync_unit: sshd-service
              - insync_sshd: sshd-confirmed
    """
    ret = {"name": name, "changes": {}, "result": True, "comment": f"there is no {name}"}
    path = pathlib.Path(name)
    if not path.exists():
        return ret
    changes = {name: "remove"}
    if __opts__["test"]:
        return {**ret, "changes": changes, "result": None, "comment": f"{name} would be removed"}
    try:
        insync_sshd.remove(path)
    except (insync_sshd.SshdError, OSError) as exc:
        return {**ret, "result": False, "comment": f"{name}: {exc}"}
    return {**ret, "changes": changes, "comment": f"{name} was removed"}


def mod_watch(name, operators, **_):
    """Confirm what this run has changed."""
    return _apply(name, operators, True)


def _apply(name, operators, wanted):
    ret = {"name": name, "changes": {}, "result": True, "comment": "no change of sshd waits to be confirmed"}
    if not wanted:
        return ret
    changes = {"sshd": {"old": "changed", "new": "confirmed"}}
    if __opts__["test"]:
        return {**ret, "changes": changes, "result": None, "comment": f"would be confirmed once {name} lets in all"}
    try:
        address, port = name.rsplit(":", 1)
        if insync_sshd.pending():
            # The trial has its full time, however long the states before it took.
            insync_systemd.systemctl("restart", insync_sshd.TIMER)
        refused = insync_sshd.refused(address, int(port), operators)
        if insync_sshd.taken_back():
            raise insync_sshd.SshdError("the change was taken back before it could be confirmed")
        if refused:
            raise insync_sshd.SshdError(_told(name, refused))
        if insync_sshd.pending():
            insync_sshd.confirm()
    except (insync_sshd.SshdError, insync_systemd.UnitError, OSError) as exc:
        return {**ret, "result": False, "comment": str(exc)}
    return {**ret, "changes": changes, "comment": f"{name} lets in {', '.join(operators)}"}


def _told(name, refused):
    who = ", ".join(f"{user} ({why})" for user, why in refused.items())
    keep = f"'salt {__opts__['id']} insync.confirm_sshd' keeps it"
    return f"{name} does not let in {who}; what was there before comes back by itself, unless {keep}"
