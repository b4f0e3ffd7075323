#!py
"""A server runs a job with a release verb: let ct1 do it. What the event says is not trusted; the runner looks it up."""


def run():
    """Return the runner's call; ``data`` is the event."""
    arguments = {"jid": str(data["data"].get("jid", "")), "server": str(data["id"])}
    call = {"runner.insync.release_requested": [{"args": arguments}]}
    return {"release-request": call}
