"""``req.user_agent``: the header, and what its usual tokens tell (TP 6.4).

A small table of our own instead of a parser library: the libraries bring thousands of expressions (tens of MiB and
milliseconds on the first unknown agent) for questions that policies of an AI gateway do not ask. Decided 2026-11:
products, operating systems and bots that are common; everything else is ``''`` or its first product token.
All expressions are linear and read at most ``_READ`` characters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from gateway.cel.env import BOOL, STRING, CelType

_READ = 512

_BOT = re.compile(
    r"bot\b|bot[/;_-]|crawl|spider|slurp|facebookexternalhit|mediapartners|-user/|headlesschrome|lighthouse|archiver"
    r"|python-requests|python-urllib|scrapy|curl/|wget/|go-http-client|libwww|httpclient|okhttp|java/",
    re.I,
)
_URL = re.compile(r"https?://[^\s;,)\"']{1,200}")
#: in order: the more special product first, since browsers name their ancestors too
_PRODUCTS = (
    ("Edge", re.compile(r"\bEdg(?:e|A|iOS)?/([0-9.]+)")),
    ("Opera", re.compile(r"\b(?:OPR|Opera)/([0-9.]+)")),
    ("Samsung Internet", re.compile(r"\bSamsungBrowser/([0-9.]+)")),
    ("Headless Chrome", re.compile(r"\bHeadlessChrome/([0-9.]+)")),
    ("Chrome", re.compile(r"\b(?:Chrome|CriOS)/([0-9.]+)")),
    ("Firefox", re.compile(r"\b(?:Firefox|FxiOS)/([0-9.]+)")),
    ("Safari", re.compile(r"\bVersion/([0-9.]+).{0,80}\bSafari/")),
    ("Internet Explorer", re.compile(r"\b(?:MSIE |Trident/.{0,40}rv:)([0-9.]+)")),
)
_FIRST_PRODUCT = re.compile(r"\s*([^\s/;()]{1,100}(?:/[A-Za-z][^\s/;()]{0,100})?)(?:[/ ]v?([0-9][^\s;()]{0,60}))?")
_NAMED_BOT = re.compile(r"\b([A-Za-z0-9_.-]{0,60}(?:bot|spider|crawler)[A-Za-z0-9_-]{0,40})(?:/([0-9.]{1,20}))?", re.I)
_SYSTEMS = (
    ("Windows Phone", re.compile(r"Windows Phone(?: OS)? ?([0-9.]*)")),
    ("Windows", re.compile(r"Windows(?: NT)? ?([0-9.]*)")),
    ("iOS", re.compile(r"(?:iPhone|iPad|iPod).{0,40}? OS ([0-9_]+)")),
    ("Android", re.compile(r"Android ?([0-9.]*)")),
    ("macOS", re.compile(r"Mac OS X ?([0-9_.]*)|(?:Darwin|MacOS)/?([0-9.]*)")),
    ("ChromeOS", re.compile(r"\bCrOS \S{1,20} ([0-9.]*)")),
    ("Linux", re.compile(r"\bLinux\b()")),
)
_TABLET = re.compile(r"iPad|Tablet|PlayBook|Silk/|Kindle|Android(?!.{0,200}Mobile)", re.I)
_MOBILE = re.compile(r"Mobi|iPhone|iPod|Windows Phone|BlackBerry", re.I)
_DEVICE = re.compile(
    r"\b(iPhone|iPad|iPod|Macintosh|Kindle|PlayStation [0-9]|Xbox)\b|Android [0-9.]+; ([^;)]{1,60}?)(?: Build|[;)])"
)


class UserAgent(str):
    """The ``user-agent`` header, ``''`` if there is none; members are parsed when one of them is read."""

    __slots__ = (
        "device", "is_bot", "is_desktop", "is_mobile", "is_tablet", "name", "os", "os_version", "url", "version",
    )  # fmt: skip
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "name": STRING, "version": STRING, "os": STRING, "os_version": STRING, "device": STRING, "url": STRING,
        "is_mobile": BOOL, "is_tablet": BOOL, "is_desktop": BOOL, "is_bot": BOOL,
    }  # fmt: skip
    name: str
    version: str
    os: str
    os_version: str
    device: str
    url: str
    is_mobile: bool
    is_tablet: bool
    is_desktop: bool
    is_bot: bool

    def __getattr__(self, name: str) -> Any:
        if name not in self.__cel__:
            raise AttributeError(name)
        text = self[:_READ]
        self.is_bot = _BOT.search(text) is not None
        self.name, self.version = _product(text, is_bot=self.is_bot)
        self.os, self.os_version = _system(text)
        self.is_tablet = not self.is_bot and _TABLET.search(text) is not None
        self.is_mobile = not self.is_bot and not self.is_tablet and _MOBILE.search(text) is not None
        known = self.os in ("Windows", "macOS", "Linux", "ChromeOS")
        self.is_desktop = known and not (self.is_bot or self.is_tablet or self.is_mobile)
        device = _DEVICE.search(text)
        self.device = (device[1] or device[2] or "").strip() if device is not None else ""
        url = _URL.search(text)
        self.url = url[0] if url is not None else ""
        return getattr(self, name)


def _product(text: str, *, is_bot: bool) -> tuple[str, str]:
    if is_bot and (match := _NAMED_BOT.search(text)) is not None:
        return match[1], match[2] or ""
    for name, pattern in _PRODUCTS:
        if (match := pattern.search(text)) is not None:
            return name, match[1]
    first = _FIRST_PRODUCT.match(text)
    return (first[1], first[2] or "") if first is not None else ("", "")


def _system(text: str) -> tuple[str, str]:
    for name, pattern in _SYSTEMS:
        if (match := pattern.search(text)) is not None:
            version = next((group for group in match.groups() if group), "")
            return name, version.replace("_", ".")
    return "", ""
