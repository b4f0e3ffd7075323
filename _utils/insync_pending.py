"""
What a run would have changed by the time that a state asks a program.

In test mode nothing has, so the program, its settings or its database may not be there: such a state cannot tell what
differs, and a real run may well succeed.
"""


def failure(reason, test, low, chunks, running):
    """
    Return ``result`` and ``comment`` (dict) of a state that could not ask: in test mode it fails only if nothing that
    it requires, itself or through others, would be changed first.

    reason (str): one line. test (bool).
    low, chunks, running: Salt's ``__low__``, ``__lowstate__`` and ``__running__``.
    """
    first = before(low, chunks, running) if test else []
    if not first:
        return {"result": False, "comment": reason}
    return {"result": None, "comment": f"what differs is seen once it is run, after {', '.join(first)} ({reason})"}


def before(low, chunks, running):
    """Return the ids (list of str) of what ``low`` requires, itself or through others, and would be changed."""
    todo, seen, found = [low], set(), set()
    while todo:
        required = {(kind, name) for one in todo.pop().get("require", ()) for kind, name in one.items()}
        for chunk in chunks:
            names = {(chunk["state"], chunk["__id__"]), (chunk["state"], chunk["name"])}
            if names & required and (tag := _tag(chunk)) not in seen:
                seen.add(tag)
                todo.append(chunk)
                found |= {chunk["__id__"]} if running.get(tag, {}).get("result", True) is None else set()
    return sorted(found)


def _tag(chunk):
    """The name of a state's result, as Salt makes it."""
    return "_|-".join((chunk["state"], chunk["__id__"], chunk["name"], chunk["fun"]))
