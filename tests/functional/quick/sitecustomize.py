"""In the tests devpi hashes passwords weakly: each check would take a quarter of a second."""

from passlib.handlers.argon2 import argon2

argon2.default_rounds = 1
argon2.memory_cost = 64
