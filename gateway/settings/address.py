"""Where to listen, and the URLs of endpoints."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"\*|(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?")


@dataclass(frozen=True, slots=True)
class Listen:
    """``127.0.0.1:8080`` or ``unix:/run/gateway.sock`` (then ``host`` is '' and ``port`` 0)."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"{_bracketed(self.host)}:{self.port}"

    @property
    def loopback(self) -> bool:
        """True if only this machine can connect (CP-1, CP-111)."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def url(self, scheme: str = "http") -> str:
        """``http://127.0.0.1:8080``; a socket is its own URL (SV-6)."""
        return str(self) if self.path else f"{scheme}://{self}"


def parse_listen(text: str) -> Listen | None:
    """``HOST:PORT``, ``[::1]:PORT``, ``:PORT`` (every address) or ``unix:PATH``; None for anything else."""
    if text.startswith("unix:"):
        return Listen(path=text[5:]) if len(text) > 5 and "\0" not in text else None
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        return None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not _is_address(host, 6):
            return None
    elif host and not _HOST.fullmatch(host):
        return None
    return Listen("0.0.0.0" if host in ("", "*") else host, int(port))  # noqa: S104 - only when the operator says so


@dataclass(frozen=True, slots=True)
class PublicUrl:
    """The URL of an endpoint. ``host`` is lower case, ``*`` for any; ``port`` is the scheme's if none is written."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{_bracketed(self.host)}{port}"

    @property
    def internal(self) -> bool:
        """Reached by ``forward-internal`` only (TP-540)."""
        return self.host.endswith(".internal")

    def listen(self) -> Listen:
        """The listener this URL asks for. A name says nothing about local addresses: then it is loopback (CP-111)."""
        literal = self.host == "localhost" or _is_address(self.host)
        return Listen(self.host if literal else "127.0.0.1", self.port)


def parse_public_url(text: str) -> PublicUrl | None:
    """``https://ai.example.com``, ``http://*:8080``; None if it is not http(s), or has a path, query or user."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or parts.path not in ("", "/") or parts.query or parts.fragment:
        return None
    host = parts.hostname
    if not host or "@" in parts.netloc or not (_HOST.fullmatch(host) or _is_address(host, 6)):
        return None
    return PublicUrl(parts.scheme, host.lower(), DEFAULT_PORTS[parts.scheme] if port is None else port)


def parse_upstream_url(text: str) -> str | None:
    """An http(s) URL; the reference's short forms ``8080`` and ``host:8080`` mean http. None for anything else."""
    if text.isascii() and text.isdecimal():
        text = f"http://localhost:{text}"
    elif "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or port == 0 or "@" in parts.netloc or parts.fragment:
        return None
    return text


def _is_address(host: str, version: int | None = None) -> bool:
    try:
        return ipaddress.ip_address(host).version == (version or ipaddress.ip_address(host).version)
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
