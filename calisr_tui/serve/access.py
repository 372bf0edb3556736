"""Who may use the server: the token of the link, what it is exchanged for, and Host and Origin.

The token is exchanged for a cookie under a path that cannot be guessed; both are needed. A browser
sends cookies of a host to all its ports, and another user of this machine may listen on one of
them: the path keeps the cookie from such a server, the Origin keeps its pages from the websocket.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import os
import re
import secrets
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from calisr_engine.errors import CalisrError
from calisr_engine.storage.whole import storage_error

LEAST_TOKEN = 22
"""Characters of a token of one's own: 128 bits in base64."""

LONGEST_TOKEN = 200

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{1,5})?")
_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{{LEAST_TOKEN},{LONGEST_TOKEN}}}")


def new_secret() -> str:
    """256 bits from the system, as text that needs no quoting in addresses and cookies."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Access:
    """The secrets of one server and the names it answers to.

    Attributes:
        host: the address it listens on.
        token: of the link that the user opens.
        cookie: what the browser holds instead, once the link was opened.
        path: prefix of all that needs the cookie.
    """

    host: str
    token: str = field(default_factory=new_secret, repr=False)
    cookie: str = field(default_factory=new_secret, repr=False)
    path: str = field(default_factory=lambda: f"/{new_secret()}", repr=False)

    def opens(self, token: str) -> bool:
        """Whether this is the token, in a time that does not tell how much of it is right."""
        return _same(token, self.token)

    def knows(self, cookie: str) -> bool:
        """Whether this is the cookie, likewise."""
        return _same(cookie, self.cookie)

    def answers_to(self, hosts: Sequence[str]) -> bool:
        """Whether a request's Host headers name this server, by any port: it may be forwarded.

        A page whose own name was made to point to this address (DNS rebinding) asks with that name.
        So names are of this machine only; a number cannot be made to point elsewhere.
        """
        found = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        if found is None:
            return False
        name = found[1].strip("[]")
        if is_local(name) or name == self.host.lower():
            return True
        if is_local(self.host):
            return False
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(name)
            return True
        return name in {socket.gethostname().lower(), socket.getfqdn().lower()}


def same_origin(origin: str | None, host: str) -> bool:
    """Whether a request comes from a page of this very server, and not of another port."""
    return origin is not None and origin.lower() == f"http://{host.lower()}"


def is_local(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token_of(path: Path) -> str:
    """The token in a file that its owner alone can read; the file is made where there is none.

    Raises:
        CalisrError: others can read or change it, or what it holds is no token.
        StorageError: it cannot be made or read.
    """
    try:
        return _made(path)
    except FileExistsError:
        pass
    except OSError as error:
        raise storage_error(path, "the token", error) from error
    try:
        with open(path, "rb", opener=_no_link) as file:
            found, text = os.fstat(file.fileno()), file.read(LONGEST_TOKEN + 2)
    except OSError as error:
        raise CalisrError(
            f"the token in {path} cannot be read: {error.strerror}", "name a plain file of your own"
        ) from error
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        raise CalisrError(f"{path} is not a plain file of your own", "name another")
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CalisrError(
            f"other users may read or change the token in {path}",
            f"take a new one: rm {path} (or keep it: chmod 600 {path})",
        )
    token = text.decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(token):
        raise CalisrError(
            f"{path} holds no token: {LEAST_TOKEN} to {LONGEST_TOKEN} letters, digits, - and _",
            "remove the file, and a new one is made",
        )
    return token


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _made(path: Path) -> str:
    token = new_secret()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "w") as file:
            file.write(f"{token}\n")
    except OSError:
        path.unlink()
        raise
    return token


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), right.encode())
