"""Speaks the management API for ``gateway api``: one request, one answer (CP-82 to CP-85).

No redirects, no proxies, nothing remembered: the credential goes to the given address and nowhere else.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO
from urllib.parse import urlencode, urlsplit

from gateway.settings.environment import Environment

DEFAULT_URL: Final = "http://127.0.0.1:4041"
TOKEN_FILE: Final = "admin-token"  # noqa: S105 - a file name
LEVELS: Final = ("debug", "info", "warn", "error", "crit")
_TIMEOUT_S: Final = 60.0


class UnreachableError(Exception):
    """No answer from the management API."""


class AccessError(Exception):
    """No credential, or a configuration file that cannot be used."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API is and who asks."""

    url: str
    key: str

    def __repr__(self) -> str:
        return f"Access({self.url}, ***)"


@dataclass(frozen=True, slots=True)
class Answer:
    """``body`` is parsed JSON; None without one."""

    status: int
    body: Any


class Log:
    """``--log``: one line for each request, for people or for programs; off by default."""

    def __init__(self, target: str, form: str, level: str) -> None:
        self._target = target
        self._form = form
        self._least = LEVELS.index(level)

    def write(self, level: str, message: str, **fields: object) -> None:
        if self._target == "false" or LEVELS.index(level) < self._least:
            return
        record = {"t": datetime.now(UTC).isoformat(timespec="seconds"), "lvl": level, "msg": message, **fields}
        with self._open() as file:
            print(self._text(record), file=file)

    def _text(self, record: Mapping[str, object]) -> str:
        if self._form == "json":
            return json.dumps(record)
        if self._form == "logfmt":
            return " ".join(f"{name}={json.dumps(value)}" for name, value in record.items())
        rest = " ".join(f"{name}={value}" for name, value in list(record.items())[3:])
        return f"{record['t']} {str(record['lvl']).upper():5} {record['msg']} {rest}"

    @contextmanager
    def _open(self) -> Iterator[TextIO]:
        if self._target in ("stdout", "stderr"):
            yield sys.stdout if self._target == "stdout" else sys.stderr
        else:
            with Path(self._target).open("a", encoding="utf-8") as file:
                yield file


def find_access(options: argparse.Namespace, environment: Environment) -> Access:
    """The key and the address, in the order of CP-83. Raises AccessError."""
    given = _configured(options.config or ())
    key = (
        options.api_key
        or environment.get("GATEWAY_API_KEY")
        or environment.get("NGROK_API_KEY")
        or given.get("api_key")
        or _first_token(options.data_dir, environment)
    )
    if not key:
        raise AccessError("no API key: give --api-key, or set GATEWAY_API_KEY")
    if not key.isascii() or not key.isprintable():
        raise AccessError("the API key has characters that no key has")
    url = options.api_url or environment.get("GATEWAY_API_URL") or given.get("api_url") or DEFAULT_URL
    return Access(url.rstrip("/"), key)


def send(access: Access, method: str, path: str, *, query: Mapping[str, str], body: Any, log: Log) -> Answer:
    """One request. Raises UnreachableError."""
    target = f"{path}?{urlencode(query)}" if query else path
    headers = {"authorization": f"Bearer {access.key}", "accept": "application/json", "ngrok-version": "2"}
    text = None if body is None else json.dumps(body).encode()
    if text is not None:
        headers["content-type"] = "application/json"
    try:
        connection, prefix = _connect(access.url)
        try:
            connection.request(method, prefix + target, body=text, headers=headers)
            response = connection.getresponse()
            answer = Answer(response.status, _parsed(response.read()))
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        log.write("error", "request failed", method=method, path=path, reason=str(error))
        raise UnreachableError(f"cannot reach {access.url}: {error}") from None
    log.write("info", "request", method=method, path=path, status=answer.status)
    return answer


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connect(url: str) -> tuple[http.client.HTTPConnection, str]:
    """A connection and the path in front of every request's."""
    if url.startswith("unix:"):
        return _SocketConnection(url.removeprefix("unix:")), ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise OSError("the address must be http://…, https://… or unix:PATH")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname, parts.port, timeout=_TIMEOUT_S), parts.path.rstrip("/")


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        raise http.client.HTTPException("the answer is not JSON: is this the management API?") from None


def _configured(files: Any) -> dict[str, str]:
    """``api_key`` and ``api_url`` of configuration files, later ones winning; also inside ``agent``."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    found: dict[str, str] = {}
    for name in files:
        try:
            content = YAML(typ="safe", pure=True).load(Path(name).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, YAMLError):
            raise AccessError(f"cannot read the configuration file {name}") from None
        if not isinstance(content, dict):
            continue
        agent = content.get("agent")
        for place in (agent if isinstance(agent, dict) else {}, content):
            found.update({key: place[key] for key in ("api_key", "api_url") if isinstance(place.get(key), str)})
    return found


def _first_token(data_dir: str | None, environment: Environment) -> str | None:
    """The bootstrap file (CP-110), if it can be read."""
    directory = Path(data_dir or environment.get("GATEWAY_DATA_DIR") or environment.state_directory)
    try:
        return (directory / TOKEN_FILE).read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
