"""Changing a request's URL by find and replace, for ``redirect`` and ``url-rewrite`` (TP-390 … TP-396)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from gateway.document import Node
from gateway.errors import REPLACE_FAILED, REPLACE_REGEX, GatewayError
from gateway.policy.fields import Interpolated
from gateway.policy.replacement import PatternError, ReplaceError, compile_pattern, compile_target, replace_all
from gateway.schema.reader import Invalid, Reader

if TYPE_CHECKING:
    from gateway.exchange import Exchange

BAD_PATTERN = "ERR_NGROK_2261"
MAX_URL_BYTES = 65_536
_MAX_MATCHES = 1_000
#: without ``from`` the whole URL is replaced (TP-393)
_WHOLE = compile_pattern(r"(?s)\A.*\z")
_UNSAFE = re.compile(rb'[^!-~]|["<>\\^`{|}]')
_NEVER = re.compile(r"\^(?:/|\$\{\s*req\.(?:url\.(?:authority|host|path|uri)|host)\s*\})")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]+")


class UrlChange(NamedTuple):
    """``matches``: the texts that matched; ``url``: the result, percent-encoded; ``changed``: it is another URL."""

    matches: list[str]
    url: str
    changed: bool


ChangeUrl: TypeAlias = "Callable[[Exchange], UrlChange]"


def checked_pattern(pattern: Interpolated, node: Node, reader: Reader) -> Interpolated | Invalid:
    """A literal regular expression is compiled at load (TP-74)."""
    if pattern.literal is not None:
        try:
            compile_pattern(pattern.literal)
        except PatternError as error:
            return reader.error(node, BAD_PATTERN, f"invalid regular expression: {error}")
    return pattern


def checked_url_pattern(pattern: Interpolated, node: Node, reader: Reader) -> Interpolated | Invalid:
    """The same for patterns over a whole URL: one that is anchored before a path or a host can never match (TP-396)."""
    if _NEVER.match(pattern.source):
        words = "this never matches: the pattern meets the whole URL, which begins with its scheme"
        reader.warning(node, "ERR_NGROK_2207", words)
    return checked_pattern(pattern, node, reader)


def current_url(exchange: Exchange) -> str:
    """The URL in its present form, without fragment (TP-391)."""
    query = f"?{exchange.query}" if exchange.query else ""
    return f"{exchange.scheme}://{exchange.host}{exchange.path}{query}"


def percent_encoded(url: str) -> str:
    """Whatever may not stand in a URL, escaped; escapes that are there stay (TP-394)."""
    raw = url.encode("utf-8", "surrogateescape")
    return _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], raw).decode("ascii")


def is_absolute(url: str) -> bool:
    """Whether it has a scheme and a host."""
    return _ABSOLUTE.match(url) is not None


def compile_url_change(source: Interpolated | None, to: Interpolated) -> ChangeUrl:
    """Interpolate, match, replace (TP-390)."""

    def change(exchange: Exchange) -> UrlChange:
        before = current_url(exchange)
        try:
            pattern = _WHOLE if source is None else compile_pattern(source.text(exchange))
        except PatternError as error:
            raise GatewayError(REPLACE_REGEX, cause=f"{to.place}: {error}") from None
        target = to.text(exchange)
        if source is None and target.startswith("/"):
            origin = f"{exchange.scheme}:" if target.startswith("//") else f"{exchange.scheme}://{exchange.host}"
            target = origin.replace("$", "$$") + target
        subject = before.encode("utf-8", "surrogateescape")
        try:
            replaced = replace_all(
                pattern, compile_target(target, pattern), subject, limit_bytes=MAX_URL_BYTES, keep=_MAX_MATCHES
            )
        except ReplaceError as error:
            raise GatewayError(REPLACE_FAILED, cause=f"{to.place}: {error}") from None
        matches = [match.decode("utf-8", "surrogateescape") for match in replaced.matches]
        if not replaced.result:
            raise GatewayError(REPLACE_FAILED, cause=f"{to.place}: nothing is left of the URL")
        changed = replaced.found > 0 and replaced.result != subject
        result = replaced.result.decode("utf-8", "surrogateescape")
        return UrlChange(matches, percent_encoded(result) if changed else before, changed)

    return change
