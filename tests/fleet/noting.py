"""
Eight clients that write to a database, a redis or a queue all the time, and note what they are answered.

It runs by itself on a server of the fleet: ``python noting.py write|compare|clear FOLDER``. What to connect to is JSON
on standard input: ``kind``, and what the class of that kind takes. ``write`` goes on until there is FOLDER/stop;
``compare`` tells what was answered and is not there; ``clear`` removes what was answered from where it was written.
"""

import glob
import json
import os
import socket
import ssl
import sys
import threading
import time
import uuid

import pymysql

CLIENTS, PAUSE = 8, 0.005
# For how long it is tried to look at what is there, and how much is asked for at once.
SECONDS, MANY = 60, 500


class Database:
    """Rows of one table."""

    def __init__(self, table, **given):
        self.table = table
        if "password" in given:
            # As a text it might be of latin-1 only.
            given["password"] = given["password"].encode()
        self.connection = pymysql.connect(autocommit=True, connect_timeout=2, read_timeout=15, **given)

    def write(self, row):
        """Write ``row`` (str); return by which name it will be found."""
        with self.connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {self.table} (id) VALUES (%s)", (row,))
        return row

    def there(self, names):
        """Return the rows that are there (set of str); names (list of str): of those that are looked for."""
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT id FROM {self.table} WHERE id IN ({', '.join(['%s'] * len(names))})", names)
            return {row for (row,) in cursor.fetchall()}

    def clear(self, names):
        """It has no right to; the whole table goes."""


class Talk:
    """A connection to what is asked in lines."""

    def __init__(self, host, port, ca=None):
        plain = socket.create_connection((host, port), 2)
        plain.settimeout(15)
        if ca:
            plain = ssl.create_default_context(cafile=ca).wrap_socket(plain, server_hostname=host)
        self.file = plain.makefile("rwb")

    def say(self, text):
        """Send ``text`` (str)."""
        self.file.write(text.encode())
        self.file.flush()

    def line(self):
        """Return the next line of the answer (str)."""
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise OSError("the connection has ended")
        return line[:-2].decode()

    def body(self, length):
        """Return what comes after such a line, ``length`` bytes long (str)."""
        return self.file.read(length + 2)[:-2].decode()


class Redis(Talk):
    """Keys, each of which is its value, after a prefix."""

    def __init__(self, prefix="", user=None, password=None, **given):
        super().__init__(**given)
        self.prefix = prefix
        if user:
            self.say(self.command("AUTH", user, password))
            self.well(self.line())

    def command(self, *words):
        """Return the bytes, as a text, that ask for ``words``."""
        return f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)

    def well(self, line):
        """Raise OSError unless ``line`` says that all is well."""
        if line != "+OK":
            raise OSError(line)

    def write(self, row):
        """Write ``row`` (str); return by which name it will be found."""
        # What was stored and not answered goes by itself.
        self.say(self.command("SET", self.prefix + row, row, "EX", "3600"))
        self.well(self.line())
        return row

    def there(self, names):
        """Return the rows that are there (set of str); names (list of str): of those that are looked for."""
        self.say("".join(self.command("GET", self.prefix + name) for name in names))
        lengths = (int(self.line()[1:]) for _ in names)
        return {self.body(length) for length in lengths if length >= 0}

    def clear(self, names):
        """Remove those that have ``names`` (list of str)."""
        for some in slices(names):
            self.say("".join(self.command("DEL", self.prefix + name) for name in some))
            for _ in some:
                self.line()


class Queue(Talk):
    """Jobs in a tube of their own, which nobody works on."""

    def __init__(self, tube, **given):
        super().__init__(**given)
        self.say(f"use {tube}\r\nwatch {tube}\r\nignore default\r\n")
        for _ in range(3):
            self.line()

    def write(self, row):
        """Write ``row`` (str); return by which name it will be found."""
        self.say(f"put 0 0 60 {len(row)}\r\n{row}\r\n")
        said = self.line().split()
        if said[0] != "INSERTED":
            raise OSError(" ".join(said))
        return said[1]

    def there(self, names):
        """Return the rows that are there (set of str); names (list of str): of those that are looked for."""
        self.say("".join(f"peek {name}\r\n" for name in names))
        answers = (self.line().split() for _ in names)
        return {self.body(int(said[2])) for said in answers if said[0] == "FOUND"}

    def clear(self, names):
        """Remove those that have ``names`` (list of str), and all that was stored and not answered."""
        for some in slices(names):
            self.say("".join(f"delete {name}\r\n" for name in some))
            for _ in some:
                self.line()
        while (said := self.reserve())[0] == "RESERVED":
            self.body(int(said[2]))
            self.say(f"delete {said[1]}\r\n")
            self.line()

    def reserve(self):
        """Return the answer (list of str) to who takes a job, if there is one."""
        self.say("reserve-with-timeout 0\r\n")
        return self.line().split()


KINDS = {"database": Database, "redis": Redis, "queue": Queue}
FAILED = (OSError, ValueError, IndexError, pymysql.MySQLError)


def write(connect, folder):
    """Let the clients write; each notes a row, and its name, once it has been answered."""
    for number in range(CLIENTS):
        threading.Thread(target=run, args=(connect, f"{folder}/{number}", f"{folder}/stop")).start()


def run(connect, path, stop):
    """Be one of them."""
    client = None
    with open(path, "w", buffering=1, encoding="ascii") as file:
        while not os.path.exists(stop):
            row = uuid.uuid4().hex
            try:
                client = client or connect()
                name = client.write(row)
            except FAILED as exc:
                # Nobody knows whether it is there.
                client = None
                print(f"{type(exc).__name__}: {exc}", file=sys.stderr, flush=True)
                time.sleep(0.1)
                continue
            print(row, name, file=file)
            time.sleep(PAUSE)


def noted(folder):
    """Return {row: its name} of all that was answered."""
    lines = [line for path in glob.glob(f"{folder}/[0-9]") for line in open(path, encoding="ascii")]
    return dict(line.split() for line in lines if line.endswith("\n"))


def slices(names):
    """Return ``names`` (list) in pieces that can be asked for at once."""
    return [names[begin : begin + MANY] for begin in range(0, len(names), MANY)]


def compare(connect, folder):
    """Print how many were answered, and the rows of them that are not there."""
    answered = noted(folder)
    client, there = patiently(connect), set()
    for names in slices(list(answered.values())):
        there |= client.there(names)
    print(json.dumps({"answered": len(answered), "lost": sorted(answered.keys() - there)}))


def clear(connect, folder):
    """Remove all that was answered."""
    patiently(connect).clear(list(noted(folder).values()))


def patiently(connect):
    """Connect, once it can be."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return connect()
        except FAILED:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def main(what, folder):
    """Do ``what`` (str)."""
    given = json.load(sys.stdin)
    kind = KINDS[given.pop("kind")]
    {"write": write, "compare": compare, "clear": clear}[what](lambda: kind(**given), folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
