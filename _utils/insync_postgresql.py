"""PostgreSQL on this server, by its unix socket, as its own administrator."""

import pathlib
import shutil
import subprocess

SECONDS = 600
# Where Debian keeps clusters, a folder for each below that of its version.
CLUSTERS = pathlib.Path("/var/lib/postgresql")


class DatabaseError(ValueError):
    """PostgreSQL refuses; the message is one line that says why."""


def sql(*statements):
    """
    Run ``statements`` (str) one after the other, as the administrator; return what they print (list of str).

    Raises DatabaseError with the first error.
    """
    become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--no-new-privs", "--reset-env"]
    command = [*become, "psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]
    options = {"input": ";\n".join(statements), "capture_output": True, "text": True, "check": False, "cwd": "/"}
    try:
        done = subprocess.run(command, timeout=SECONDS, **options)
    except subprocess.TimeoutExpired as exc:
        raise DatabaseError(f"psql: no end after {SECONDS} s") from exc
    except OSError as exc:
        raise DatabaseError(f"{exc.filename}: {exc.strerror}") from exc
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no reason is told"]
        raise DatabaseError(next((line for line in said if "ERROR" in line or "error" in line), said[0])[:300])
    return done.stdout.splitlines()


def has(database):
    """
    Return whether there is a ``database`` (str) of that name.

    Where PostgreSQL is not installed there is none, unless it has left its cluster: then DatabaseError is raised.
    """
    if not shutil.which("psql"):
        if any(CLUSTERS.glob("*/*/PG_VERSION")):
            raise DatabaseError(f"PostgreSQL is not installed, and only it knows what is in {CLUSTERS}")
        return False
    return sql(f"SELECT 1 FROM pg_database WHERE datname = '{database}'") == ["1"]


def make(database, owner, template="template0"):
    """Make ``database`` (str) as a copy of ``template`` (str), and the role ``owner`` (str), if there is none."""
    if not sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{owner}'"):
        sql(f"CREATE ROLE {owner} LOGIN")
    collation = " ENCODING 'UTF8' LOCALE 'C.UTF-8'" if template == "template0" else ""
    sql(f"CREATE DATABASE {database} OWNER {owner} TEMPLATE {template}{collation}")


def drop(database):
    """Remove ``database`` (str), if there is one."""
    sql(f"DROP DATABASE IF EXISTS {database}")


def rename(*pairs):
    """Rename databases, each of ``pairs`` (from, to), all or none of them; nobody may be connected."""
    sql("BEGIN", *(f"ALTER DATABASE {old} RENAME TO {new}" for old, new in pairs), "COMMIT")
