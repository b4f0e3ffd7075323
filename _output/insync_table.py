"""A list of rows as a table: one line a row, columns as wide as they need to be."""

__virtualname__ = "insync_table"


def __virtual__():
    return __virtualname__


def output(data, **kwargs):
    """
    Return ``data`` as a table.

    data (list of dict): the rows; the keys of the first are the heading. A runner that has an exit code to tell gives
        them as ``data`` of a dict.
    """
    data = data["data"] if isinstance(data, dict) else data
    if not data:
        return "nothing to show"
    lines = [list(data[0]), *([str(value) for value in row.values()] for row in data)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join("  ".join(cells).rstrip() for cells in padded)
