"""The one error of the lab."""


class LabError(Exception):
    """Something that the person at the keyboard can mend; the message is one line: what it is, and what to do."""
