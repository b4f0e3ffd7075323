"""
A sign-up: a row, a mail, a count.

The row and the mail, in the outbox, are committed in one transaction, and last: whoever is told 201, or finds a row, is
counted and has a mail on its way, whatever becomes of the queue. Where something fails on the way the answer is 503; a
count may then be one too many, but none is ever lost. A second sign-up of the same address waits for the first one's
row and is refused before anything is counted.
"""

import uuid

import pymysql
import redis
from insync_core import cache, log, mail, mysql, outbox
from insync_core.errors import needed

COUNT = "web:signups"
SUBJECT = "Welcome to Insync"
TEXT = "Hello,\n\nyou have signed up for Insync with this address.\n"


class BadAddress(Exception):
    """Not an address that mail can be sent to."""


class Taken(Exception):
    """The address has signed up already."""


def sign_up(conf, ca_file, email):
    """
    Sign ``email`` up and return {"user": number, "job": id of the mail}.

    conf (dict): the values of the conf.
    Raises BadAddress, Taken or Unavailable.
    """
    email = email.strip() if isinstance(email, str) else ""
    if not mail.ADDRESS.fullmatch(email):
        raise BadAddress("email is missing or no address")
    welcome = mail.Mail(str(uuid.uuid4()), email, SUBJECT, TEXT, conf["mail_from"])
    with mysql.transaction(conf["mysql"], ca_file) as cursor:
        user = _insert(cursor, email)
        with needed("redis", redis.RedisError):
            cache.client(conf["redis"], ca_file).execute_command("INCR", COUNT)
        outbox.add(cursor, welcome)
    log.say("signup", user=user, job=welcome.id)
    return {"user": user, "job": welcome.id}


def _insert(cursor, email):
    try:
        cursor.execute("INSERT INTO users (email) VALUES (%s)", (email,))
    except pymysql.IntegrityError:
        raise Taken("this address has signed up already") from None
    return cursor.lastrowid
