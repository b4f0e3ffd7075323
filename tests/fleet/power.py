"""
The power of a server's disk, cut: what had not reached it is lost, as it is not when a process is killed.

A folder is put on a file system of its own, in a file of this machine. At a cut who writes there is stopped in the
middle, the file system is shut down under it without a last word to its journal, and only then is it killed. What the
disk was told to keep is there when it is mounted again; a disk that loses what it has said to keep is not played.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import struct
import tempfile

from lab import podman, shell
from lab.paths import PREFIX
from tests.fleet.conftest import ROOT

# <uapi/linux/fs.h>: FS_IOC_SHUTDOWN, FS_SHUTDOWN_FLAGS_NOLOGFLUSH
SHUTDOWN, AT_ONCE = 0x8004587D, 2
# Beside what is in the folder.
SPARE_MEGABYTES = 1024
NODE, BESIDE = "/dev/lab-power", "/mnt/lab-power"
FREEZE = """
    pid=$(systemctl show --property=MainPID --value "$1")
    [ "$pid" -gt 0 ] || { echo "$1 does not run"; exit 1; }
    systemctl kill --signal=STOP "$1"
    for _ in $(seq 100); do
        # Who waits for the disk stops before it can answer anybody.
        grep -h ^State: /proc/$pid/task/*/status | grep -qvE 'stopped|disk sleep' || exit 0
        sleep 0.05
    done
    echo "$1 does not stop"
    exit 1
"""
# A unit that systemd would start again, and one that is gone once it has failed.
KILL = 'systemctl kill --signal=KILL "$1"; systemctl stop "$1"; ! systemctl --quiet is-active "$1"'
UNMOUNT = 'for _ in $(seq 20); do umount "$1" && exit 0; sleep 0.5; done; exit 1'
FILL = """
    set -eu
    rmdir "$2/lost+found"
    cp -a "$1/." "$2"
    chown --reference="$1" "$2"
    chmod --reference="$1" "$2"
"""
# All that was on the disk is here before anything of what was here is gone.
EMPTY = """
    set -eu
    rm -rf "$1.lab"
    cp -a "$1" "$1.lab"
    umount "$1"
    find "$1" -mindepth 1 -delete
    find "$1.lab" -mindepth 1 -maxdepth 1 -exec mv -t "$1" {} +
    rmdir "$1.lab"
"""


class Disk:
    """A disk in place of ``folder`` on ``server`` (str), for ``unit`` (str), which ``start`` (list of str) starts."""

    def __init__(self, fleet, server, folder, unit, start, device):
        self.fleet, self.server, self.folder, self.unit, self.device = fleet, server, folder, unit, device
        self.begin = start

    def start(self):
        """Start what uses it."""
        self.fleet.ok(self.server, *self.begin)

    def stop(self):
        """Stop it, as one who may finish what it does."""
        self.sh('systemctl stop "$1"; ! systemctl --quiet is-active "$1"', self.unit)

    def sh(self, script, *arguments):
        """Run a shell ``script`` (str) there."""
        return self.fleet.ok(self.server, "sh", "-c", script, "sh", *arguments)

    def mount(self, folder):
        """Mount it at ``folder`` (str); a container may not do so by itself."""
        number = os.stat(self.device).st_rdev
        enter = ["nsenter", "--target", self.pid(), "--mount", "--pid", "--"]
        shell.run([*enter, "mknod", NODE, "b", str(os.major(number)), str(os.minor(number))])
        try:
            shell.run([*enter, "mount", "-t", "ext4", NODE, folder])
        finally:
            shell.run([*enter, "rm", NODE])

    def pid(self):
        """Return the process id (str), on this machine, of the server."""
        return podman.podman("inspect", "--format", "{{.State.Pid}}", PREFIX + self.server).stdout.strip()

    def cut(self):
        """Cut the power; in the end what uses it does not run, and what has reached it can be read again."""
        self.sh(FREEZE, self.unit)
        shut_down(f"/proc/{self.pid()}/root{self.folder}", self.device)
        self.sh(KILL, self.unit)
        self.sh(UNMOUNT, self.folder)
        self.gone()
        said = shell.run(["dumpe2fs", "-h", self.device]).stdout
        assert "needs_recovery" in said, "the file system was not cut off"
        self.mount(self.folder)

    def gone(self):
        """Wait until nobody has it mounted any more, whatever namespace he is in: it would come back as it was."""
        kernel = pathlib.Path("/sys/fs/ext4", pathlib.Path(self.device).name)
        self.fleet.eventually(lambda: not kernel.exists(), 20, why=f"{self.folder}: somebody has it mounted still")

    def fill(self):
        """Put what is in the folder on the disk, and the disk in its place."""
        self.sh('mkdir -p "$1"', BESIDE)
        self.mount(BESIDE)
        try:
            self.sh(FILL, self.folder, BESIDE)
        finally:
            self.sh(UNMOUNT, BESIDE)
            self.sh('rmdir "$1"', BESIDE)
        self.mount(self.folder)

    def empty(self):
        """Put what is on the disk back into the folder."""
        self.stop()
        if self.fleet.run(self.server, "mountpoint", "--quiet", self.folder).returncode == 0:
            # A cut that failed half way may have left it shut down.
            self.sh(UNMOUNT, self.folder)
            self.gone()
        self.mount(self.folder)
        self.sh(EMPTY, self.folder)
        self.gone()


def shut_down(folder, device):
    """Shut the file system of ``folder`` (str) down at once, which has to be the one on ``device`` (str)."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if os.fstat(file).st_dev != os.stat(device).st_rdev:
            # It would be this machine's own.
            raise RuntimeError(f"{folder} is not on {device}")
        fcntl.ioctl(file, SHUTDOWN, struct.pack("I", AT_ONCE))
    finally:
        os.close(file)


@contextlib.contextmanager
def loop(megabytes):
    """A device (str) of ``megabytes`` (int) with a file system, as long as the block runs."""
    with tempfile.NamedTemporaryFile(prefix="lab-power-", dir="/var/tmp") as file:  # noqa: S108  memory is no disk
        file.truncate(megabytes * 2**20)
        shell.run(["mkfs.ext4", "-q", "-F", file.name])
        device = shell.run(["losetup", "--find", "--show", file.name]).stdout.strip()
        try:
            yield device
        finally:
            shell.run(["losetup", "--detach", device])


@contextlib.contextmanager
def disk(fleet, server, folder, unit, start=None):
    """
    Put ``folder`` of ``server`` on a disk of its own while the block runs; yield the Disk.

    unit (str): that uses it, and is started there. start (list of str): the command, if it is not systemctl's.
    Afterwards the folder is as it would be without, and the unit runs.
    """
    size = int(fleet.ok(server, "du", "-sm", folder).split()[0])
    start = start or ["systemctl", "start", unit]
    with loop(2 * size + SPARE_MEGABYTES) as device:
        one = Disk(fleet, server, folder, unit, start, device)
        one.stop()
        try:
            one.fill()
            try:
                one.start()
                yield one
            finally:
                one.empty()
        finally:
            one.start()


FOLDER = "/tmp/lab-noting"  # noqa: S108  of a container
PYTHON = ["/opt/salt/bin/python", "-W", "ignore", f"{FOLDER}/program.py"]


class Notes:
    """What clients on ``server`` (str) were answered; given (dict): what noting.py connects to."""

    def __init__(self, fleet, server, given):
        self.fleet, self.server, self.given = fleet, server, json.dumps(given)

    def count(self):
        """Return how many were answered so far."""
        return int(self.fleet.ok(self.server, "sh", "-c", f"cat {FOLDER}/[0-9] 2>/dev/null | wc -l"))

    def more(self, count, seconds):
        """Wait until ``count`` (int) more have been answered."""
        wanted = self.count() + count
        why = lambda: self.fleet.run(self.server, "tail", "-n", "5", f"{FOLDER}/log").stdout  # noqa: E731
        self.fleet.eventually(lambda: self.count() >= wanted, seconds, why=why)

    def stop(self):
        """Let no more be written."""
        self.fleet.run(self.server, "touch", f"{FOLDER}/stop")
        end = f"timeout 30 sh -c 'while pgrep -f {FOLDER}/[p]rogram.py; do sleep 0.2; done'"
        self.fleet.run(self.server, "sh", "-c", end)

    def compared(self):
        """Return (how many were answered, the rows of them that are not there)."""
        said = json.loads(self.fleet.ok(self.server, *PYTHON, "compare", FOLDER, stdin=self.given))
        return said["answered"], said["lost"]

    def clear(self):
        """Remove what was answered from where it was written."""
        self.fleet.ok(self.server, *PYTHON, "clear", FOLDER, stdin=self.given)


@contextlib.contextmanager
def noting(fleet, server, given):
    """Let eight clients on ``server`` (str) write and note while the block runs; yield their Notes."""
    notes = Notes(fleet, server, given)
    program = (ROOT / "tests" / "fleet" / "noting.py").read_text(encoding="utf-8")
    script = f"rm -rf {FOLDER} && mkdir -m 0700 {FOLDER} && cat > {FOLDER}/program.py"
    fleet.ok(server, "sh", "-c", script, stdin=program)
    begin = f"cat > {FOLDER}/given; setsid {' '.join(PYTHON)} write {FOLDER} <{FOLDER}/given >{FOLDER}/log 2>&1 &"
    fleet.ok(server, "sh", "-c", begin, stdin=notes.given)
    try:
        yield notes
    finally:
        notes.stop()
        fleet.run(server, "rm", "-rf", FOLDER)
