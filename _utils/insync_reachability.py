"""Who reaches which port of whom, as a table that is drawn: a row for each who asks, a column for each who answers."""

import html

import insync_inventory

_CELL, _ROW, _LEFT, _TOP = 52, 22, 150, 150
_FONT = 'font-family="Helvetica,Arial,sans-serif"'
_FILLS = {"public": "#fff3d6", "private": "#e3f1e1"}


def matrix(inventory):
    """
    Return who reaches what in ``inventory`` (dict, from insync_inventory.load).

    A dict (who asks, who answers) -> sorted list of (network, port), both servers, or ``world`` who asks. Who reaches
    nothing of another is not in it.
    """
    found = {}
    for client, server, name in insync_inventory.flows(inventory):
        service = inventory["services"][name]
        found.setdefault((client, server), set()).add((service["network"], service["port"]))
        if service["network"] == "public":
            # What the world may ask, servers may ask as well.
            for other in inventory["hosts"]:
                if other != server:
                    found.setdefault((other, server), set()).add((service["network"], service["port"]))
    return {pair: sorted(ports) for pair, ports in found.items()}


def svg(inventory):
    """
    Return the table of ``inventory`` (dict) as a picture (str of SVG).

    What the world may ask, each server may ask too: that stands in the world's row only.
    """
    world, servers = insync_inventory.WORLD, list(inventory["hosts"])
    reached = {
        pair: [one for one in ports if one[0] == "private" or pair[0] == world]
        for pair, ports in matrix(inventory).items()
    }
    middles = [_LEFT + _CELL * number + _CELL // 2 + 4 for number in range(len(servers))]
    lines = [
        _text(x, _TOP - 8, server, "start", turn=f"rotate(-60 {x} {_TOP - 8})")
        for x, server in zip(middles, servers, strict=True)
    ]
    y = _TOP
    for source in [world, *servers]:
        height = max(_ROW, *(13 * len(reached.get((source, server), [])) + 8 for server in servers))
        lines.append(_text(_LEFT - 8, y + height // 2 + 4, source, "end"))
        for number, server in enumerate(servers):
            x = _LEFT + _CELL * number
            lines += _cell(x, y, height, source == server, reached.get((source, server), []))
        y += height
    lines += _legend(y + 14)
    width, height = _LEFT + _CELL * len(servers) + 90, y + 50
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    mark = "<!-- Generated from pillar/inventory by `make docs`. -->"
    return "\n".join([head, mark, f'<rect width="{width}" height="{height}" fill="white"/>', *lines, "</svg>"]) + "\n"


def _cell(x, y, height, same, ports):
    fill = "#dddddd" if same else "none"
    yield f'<rect x="{x}" y="{y}" width="{_CELL}" height="{height}" fill="{fill}" stroke="#cccccc"/>'
    for number, (network, port) in enumerate(ports):
        top = y + 4 + 13 * number
        yield f'<rect x="{x + 2}" y="{top}" width="{_CELL - 4}" height="13" fill="{_FILLS[network]}"/>'
        yield _text(x + _CELL // 2, top + 10, str(port), "middle", size=10)


def _legend(y):
    yield f'<rect x="{_LEFT}" y="{y}" width="14" height="14" fill="{_FILLS["private"]}"/>'
    yield _text(
        _LEFT + 20, y + 11, "port over the private network: who asks is on the left, who answers on top", "start"
    )
    yield f'<rect x="{_LEFT + 480}" y="{y}" width="14" height="14" fill="{_FILLS["public"]}"/>'
    yield _text(_LEFT + 500, y + 11, "over the public one: open to every server as well", "start")


def _text(x, y, text, anchor, turn="", size=12):
    turned = f' transform="{turn}"' if turn else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" {_FONT}{turned}>{html.escape(text)}</text>'
