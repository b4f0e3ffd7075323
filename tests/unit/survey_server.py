"""A server that exists as files only, for what the survey of it finds."""

import hashlib
import sqlite3

import insync_survey

MANAGED = "/etc/systemd/system/devpi.service"


class Server:
    """Its files below ``path`` (pathlib.Path); ``write(name, text)`` adds one."""

    def __init__(self, path):
        self.path = path
        self.write("/etc/passwd", "root:x:0:0::/root:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n")

    def write(self, name, text="", mode=0o644):
        path = self.path / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def link(self, name, target):
        path = self.path / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    def package(self, name, files, conffiles=()):
        self.write(f"/var/lib/dpkg/info/{name}:amd64.list", "".join(f"{file}\n" for file in files))
        digest = hashlib.md5(b"as it came\n").hexdigest()
        lines = "".join(f"\n {file} {digest}" for file in conffiles)
        status = self.path / "var/lib/dpkg/status"
        before = status.read_text() if status.exists() else ""
        status.write_text(f"{before}Package: {name}\nStatus: install ok installed\nConffiles:{lines}\nVersion: 1\n\n")

    def survey(self, **plan):
        return insync_survey.survey(plan, self.path)


def sqlite(root, name):
    path = root.path / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE subscribers (mail TEXT DEFAULT 's3cr3t')")
    connection.close()
