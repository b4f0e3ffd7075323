"""Where the parts of an application's release are on a server, and the record of which one is in service."""

import datetime
import json
import pathlib

import insync_files
import insync_venv

RECORDS = pathlib.Path("/var/lib/insync")
# Whoever starts, records or stops a slot of an application holds it.
LOCK = "/run/lock/insync-slot-{}.lock"
WAIT = 60
SETTINGS = pathlib.Path("/etc/insync")


class SlotError(ValueError):
    """A slot or its record is not as it has to be; the message says what, and what to do."""


class Slots:
    """The slots of an application, and what a release of it consists of on this server."""

    def __init__(self, name, link, slots):
        """
        name (str): the application; its unit is ``<name>``, or ``<name>@<slot>`` if it has several slots.
        link (str): leads to the virtualenv in use, which is ``<link>-<release id>``.
        slots (dict): slot -> port.
        """
        self.name, self.link, self.slots = name, pathlib.Path(link), slots
        self.file = RECORDS / name / "state.json"

    def unit(self, slot):
        """Return the name (str) of the unit of ``slot`` (str)."""
        return f"{self.name}@{slot}" if len(self.slots) > 1 else self.name

    def home(self, release):
        """Return the virtualenv (pathlib.Path) of ``release`` (str)."""
        return self.link.with_name(f"{self.link.name}-{release}")

    def lock(self, release):
        """Return the file (pathlib.Path) with the requirements that ``release`` (str) was built from."""
        return insync_venv.requirements(self.home(release))

    def environment(self, slot):
        """Return the file (pathlib.Path) that tells the unit of ``slot`` (str) its release."""
        return SETTINGS / self.name / f"{slot}.env"

    def text(self, slot, release):
        """Return what the environment file of ``slot`` (str) says when it runs ``release`` (str)."""
        found = {"VENV": self.home(release), "RELEASE": release, "SLOT": slot, "PORT": self.slots[slot]}
        return "".join(f"{key}={value}\n" for key, value in found.items())

    def is_prepared(self, slot, release):
        """Return whether the next start of ``slot`` (str) is one of ``release`` (str)."""
        file = self.environment(slot)
        return file.exists() and file.read_text(encoding="utf-8") == self.text(slot, release)

    def prepare(self, slot, release):
        """Let the next start of ``slot`` (str) be one of ``release`` (str); what runs goes on."""
        insync_files.replace(self.environment(slot), self.text(slot, release))

    def prepared(self, slot):
        """Return the release (str) that the environment file of ``slot`` (str) names, "" if there is none."""
        file = self.environment(slot)
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return dict(line.split("=", 1) for line in lines if "=" in line).get("RELEASE", "")

    def record(self):
        """Return the record (dict) of the release in service, None if there was none yet; SlotError if it is broken."""
        if not self.file.exists():
            return None
        try:
            record = json.loads(self.file.read_text(encoding="utf-8"))
            if record["release"] and record["slot"] in self.slots:
                return record
        except (ValueError, KeyError, TypeError):
            pass
        raise SlotError(
            f"{self.file} names no release and slot of it; see what {self.name} runs, and mend or remove it"
        )

    def write(self, slot, release, previous, by):
        """
        Record that ``release`` (str) is in service in ``slot`` (str).

        previous (str or None): the release to come back to.
        by (str): who moved it.
        """
        self.file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        record = {"release": release, "slot": slot, "previous": previous, "since": since, "by": by}
        insync_files.replace(self.file, json.dumps(record, indent=2) + "\n")
