"""Passwords of sensors, and the lines of Mosquitto's password file about them, as pure functions."""

import base64
import hashlib
import secrets
from collections.abc import Iterable, Mapping

_BYTES = 24
_SALT_BYTES = 12
_ITERATIONS = 101
"""Mosquitto's default. Mosquitto checks every connected client at each SIGHUP, and a random password needs no more."""


def choose_passwords(names: Iterable[str], former: Mapping[str, bytes]) -> dict[str, bytes]:
    """Choose the passwords of these sensors: what they have already, or a new one of 24 random bytes as base64url."""
    return {name: former.get(name) or secrets.token_urlsafe(_BYTES).encode() for name in names}


def make_lines(passwords: Mapping[str, bytes], former: Iterable[str]) -> list[str]:
    """Make the lines of a password file; a former line whose hash fits the password is kept.

    Args:
        passwords: Passwords by user name.
        former: Lines of the same users, and of others.
    """
    known = dict(line.split(":", 1) for line in former if ":" in line)
    return [
        f"{user}:{known[user] if user in known and _fits(password, known[user]) else _hash(password)}"
        for user, password in passwords.items()
    ]


def _hash(password: bytes) -> str:
    """Hash with PBKDF2-SHA512, in the format of `mosquitto_passwd`: `$7$<iterations>$<salt>$<hash>`, both in base64."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return f"$7${_ITERATIONS}${_encode(salt)}${_encode(_derive(password, salt))}"


def _fits(password: bytes, hashed: str) -> bool:
    try:
        _, kind, iterations, salt, expected = hashed.split("$")
        derived = _derive(password, base64.b64decode(salt, validate=True), int(iterations))
    except ValueError:  # somebody has changed the line
        return False
    return kind == "7" and _encode(derived) == expected


def _derive(password: bytes, salt: bytes, iterations: int = _ITERATIONS) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", password, salt, iterations)


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode()
