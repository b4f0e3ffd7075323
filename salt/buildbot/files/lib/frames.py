"""What a build tells through its socket: frames, each a line of JSON with its kind and size, and so many bytes."""

import json

CHUNK = 65536


class Broken(Exception):
    """What arrives is no frame, or its end is missing."""


def write(stream, kind, size=0, **facts):
    """Announce ``size`` (int) bytes of ``kind`` (str) on ``stream`` (binary file); they follow by the caller's hand."""
    stream.write(json.dumps({"kind": kind, "size": size, **facts}).encode() + b"\n")


def tell(stream, kind, text):
    """Write the frame of ``kind`` (str) with ``text`` (bytes or str)."""
    data = text.encode() if isinstance(text, str) else text
    write(stream, kind, len(data))
    stream.write(data)
    stream.flush()


def read(stream):
    """Return the next frame's facts (dict); its bytes are next in ``stream``. Raises Broken."""
    line = stream.readline(CHUNK)
    try:
        facts = json.loads(line)
        if facts["kind"] in ("log", "wheel", "end") and 0 <= facts["size"] <= 2**30:
            return facts
    except (KeyError, TypeError, ValueError):
        pass
    raise Broken("the build was cut off" if not line else "what the build sent makes no sense")


def body(stream, size):
    """Yield the ``size`` (int) bytes of a frame in pieces. Raises Broken."""
    while size:
        piece = stream.read(min(size, CHUNK))
        if not piece:
            raise Broken("the build was cut off")
        size -= len(piece)
        yield piece
