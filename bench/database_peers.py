"""What backs MariaDB up elsewhere, with Debian's packages: automysqlbackup, mariadb-dump with zstd, mydumper."""

import contextlib

from bench.database_ground import FOLDER, SOCKET, complete, measured, run, scratch

HOME = f"{FOLDER}/backup"
# All databases but the server's own, as words.
NAMES = "$(mariadb -N -e 'SHOW DATABASES' | grep -Ev '^(mysql|sys|information_schema|performance_schema)$')"
# Debian's script with Debian's settings, into a folder of ours, and the dump of one day.
UNPACK = f"""
mkdir -p {FOLDER}/package && chmod 0711 {FOLDER} && cd {FOLDER}/package
apt-get download -qq automysqlbackup && dpkg-deb -x automysqlbackup_*.deb .
sed -i 's|/etc/default/|{FOLDER}/package/etc/default/|' usr/sbin/automysqlbackup
sed -i 's|^BACKUPDIR=.*|BACKUPDIR={HOME}|; s|^DOWEEKLY=.*|DOWEEKLY=0|; s|^DOMONTHLY=.*|DOMONTHLY=00|' \\
  etc/default/automysqlbackup
"""
PACKAGES = "dpkg-query -W -f '${Package}\\n' | sort"


class Peer:
    """One of them: its ``name`` (str), how it does ``save`` into HOME, and ``load`` into the MariaDB at SOCKET."""

    def __init__(self, server, rows, name, save, load):
        self.server, self.rows, self.name, self.save, self.load = server, rows, name, save, load

    def round(self):
        """Back up and restore; return the figures (dict: backup, restore, megabytes)."""
        run(self.server, f"rm -rf {HOME} && mkdir -p {HOME}")
        backup = measured(self.server, f"{self.name}: backup", lambda: run(self.server, self.save))
        size = int(run(self.server, f"du -sb {HOME}").split()[0])
        with scratch(self.server):
            restore = measured(self.server, f"{self.name}: restore", lambda: run(self.server, self.load))
            complete(self.server, SOCKET, self.rows)
        run(self.server, f"rm -rf {HOME}")
        return {"backup": backup, "restore": restore, "megabytes": size / 10**6}


@contextlib.contextmanager
def peers(server, rows):
    """Yield all of them (list of Peer), on ``server`` while the block runs; rows (int): of the bench's data."""
    client = f"mariadb --socket={SOCKET}"
    dump = f"mariadb-dump --single-transaction --routines --events --databases {NAMES}"
    # It knows none but its own socket, and dumps the server's own databases too.
    own = f"find {HOME}/daily -name '*.sql.gz' ! -path '*/mysql/*' ! -path '*/sys/*' -print0 | sort -z"
    only = "--regex '^(?!(mysql|sys|information_schema|performance_schema)\\.)'"
    threads = "--threads 2 --user root"
    with _installed(server, "mydumper"):
        run(server, UNPACK)
        yield [
            Peer(
                server,
                rows,
                "automysqlbackup",
                f"{FOLDER}/package/usr/sbin/automysqlbackup",
                f"{own} | xargs -0 zcat | {client}",
            ),
            Peer(
                server,
                rows,
                "mariadb-dump, zstd",
                f"{dump} | zstd -q -3 > {HOME}/dump.sql.zst",
                f"zstd -q -dc {HOME}/dump.sql.zst | {client}",
            ),
            Peer(
                server,
                rows,
                "mydumper",
                f"mydumper {threads} --compress --routines --events --triggers {only} --outputdir {HOME}/dump",
                f"myloader {threads} --socket {SOCKET} --directory {HOME}/dump",
            ),
        ]


@contextlib.contextmanager
def _installed(server, package):
    """Have the ``package`` (str) on ``server`` while the block runs, and what comes with it."""
    before = set(run(server, PACKAGES).split())
    try:
        run(server, f"apt-get install -qq --no-install-recommends {package} > /dev/null")
        yield
    finally:
        if more := sorted(set(run(server, PACKAGES).split()) - before):
            run(server, f"apt-get purge -qq {' '.join(more)} > /dev/null")
