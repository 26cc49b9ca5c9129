"""Cookies of a request and of a response (TP 6.4, 6.5). Parsed leniently; what cannot be read is left out."""

from __future__ import annotations

import datetime
import email.utils
from collections.abc import Mapping
from typing import ClassVar

from gateway.cel.env import BOOL, DURATION, STRING, TIMESTAMP, CelType, map_of, nullable, sensitive
from gateway.cel.values import Duration, Timestamp
from gateway.headers import HeaderMap

_MAX_AGE_DIGITS = 10


class Cookie:
    """One cookie; a request's has only name and value, the other members keep their unset values."""

    __slots__ = (
        "domain", "expires", "http_only", "max_age", "name", "path", "same_site", "secure", "unparsed_attributes",
        "value",
    )  # fmt: skip
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "name": STRING, "value": sensitive(STRING), "domain": STRING, "path": STRING, "same_site": STRING,
        "secure": BOOL, "http_only": BOOL, "expires": nullable(TIMESTAMP), "max_age": nullable(DURATION),
        "unparsed_attributes": map_of(STRING),
    }  # fmt: skip

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.value = value
        self.domain = self.path = self.same_site = ""
        self.secure = self.http_only = False
        self.expires: Timestamp | None = None
        self.max_age: Duration | None = None
        self.unparsed_attributes: dict[str, str] = {}

    def attribute(self, name: str, value: str) -> None:
        """Takes one attribute of a ``set-cookie`` header."""
        key = name.lower()
        if key in ("domain", "path"):
            setattr(self, key, value)
        elif key == "samesite":
            self.same_site = value
        elif key == "secure":
            self.secure = True
        elif key == "httponly":
            self.http_only = True
        elif key == "expires" and (moment := _moment(value)) is not None:
            self.expires = moment
        elif key == "max-age" and value.removeprefix("-").isdigit() and len(value) <= _MAX_AGE_DIGITS:
            self.max_age = Duration(int(value) * 1_000_000_000)
        else:
            self.unparsed_attributes[name] = value


def _moment(text: str) -> Timestamp | None:
    try:
        parsed = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=datetime.UTC)
    return Timestamp(int(parsed.timestamp()) * 1_000_000_000)


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] == '"' else value


def request_cookies(headers: HeaderMap) -> dict[str, list[Cookie]]:
    """Name → cookies in the order of the ``cookie`` headers; names are case-sensitive (TP-92)."""
    cookies: dict[str, list[Cookie]] = {}
    for line in headers.get("cookie", ()):
        for part in line.split(";"):
            name, sign, value = part.partition("=")
            if sign and name.strip():
                cookies.setdefault(name.strip(), []).append(Cookie(name.strip(), _unquoted(value.strip())))
    return cookies


def response_cookies(headers: HeaderMap) -> dict[str, list[Cookie]]:
    """Name → cookies of the ``set-cookie`` headers, longest path first."""
    cookies: dict[str, list[Cookie]] = {}
    for line in headers.get("set-cookie", ()):
        first, *attributes = line.split(";")
        name, sign, value = first.partition("=")
        if not sign or not name.strip():
            continue
        cookie = Cookie(name.strip(), _unquoted(value.strip()))
        for attribute in attributes:
            key, _, text = attribute.partition("=")
            if key.strip():
                cookie.attribute(key.strip(), text.strip())
        cookies.setdefault(cookie.name, []).append(cookie)
    for same_name in cookies.values():
        same_name.sort(key=lambda cookie: len(cookie.path), reverse=True)
    return cookies
