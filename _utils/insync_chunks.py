"""What the states of a server say together; a chunk (dict) is one of them, as ``state.show_lowstate`` returns it."""


def of(chunks, state, function):
    """Return those of ``chunks`` (list of dict) that are ``state.function`` (both str)."""
    return [chunk for chunk in chunks if (chunk["state"], chunk["fun"]) == (state, function)]


def installs(chunks):
    """Return the packages that ``chunks`` (list of dict) install (set of str)."""
    named = [one for chunk in of(chunks, "pkg", "installed") for one in (chunk.get("pkgs") or [chunk["name"]])]
    return {one if isinstance(one, str) else next(iter(one)) for one in named}
