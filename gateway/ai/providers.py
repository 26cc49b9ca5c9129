"""Provider addresses: what a ``base_url`` may be, and where a client's path leads under it.

Invariants
    1. A URL without problems (``check_base_url``) parses (``Target.parse``), and only such a URL becomes a Target.
    2. What is joined or merged is visible ASCII: no client text can end a request line.
    3. Addresses are judged by what they mean: IPv4 inside IPv6 counts as that IPv4 address, and an IPv4 address in
       any spelling but four decimal numbers is no host at all (AG-46, P19).

Source: ai-gateway.md AG-45 to AG-48, AG-205, AG-216.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_plus, urlsplit

from gateway.ai.surfaces import Format, Surface
from gateway.upstream.origin import Origin

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL_LENGTH: Final = 2_048

_PORTS: Final = {"http": 80, "https": 443}
_HOST_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
#: the last label of a host that parsers of other programs take for an IPv4 address
_NUMERIC_LABEL: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_UNSAFE_URL: Final = re.compile(r"[\x00-\x20\x7f\\]")
_VERSION_SEGMENT: Final = re.compile(r"v[0-9][a-z0-9]*")
_NOT_VISIBLE: Final = re.compile(r"[^\x21-\x7e]|#")

_REFUSED_HOSTS: Final = frozenset({"metadata.google.internal"})
_REFUSED_NETWORKS: Final = tuple(
    map(ipaddress.ip_network, ("169.254.0.0/16", "0.0.0.0/32", "fe80::/10", "fd00:ec2::254/128", "::/128"))
)
_PRIVATE_NETWORKS: Final = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7", "::1/128"))
)
#: IPv6 networks whose last 32 bits are an IPv4 address: mapped, NAT64 and its local-use form
_EMBEDDING_NETWORKS: Final = tuple(map(ipaddress.IPv6Network, ("::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")))

#: query parameters that may hold a credential; they never go upstream (AG-205)
CREDENTIAL_PARAMETERS: Final = frozenset({"key", "api_key", "api-key", "access_token"})


class UrlProblem(str):
    """Why a ``base_url`` is refused. ``forbidden``: by AG-45 or AG-46 (27718); else it is no such URL (27606)."""

    __slots__ = ("forbidden",)

    forbidden: bool

    @classmethod
    def of(cls, text: str, *, forbidden: bool = False) -> UrlProblem:
        problem = cls(text)
        problem.forbidden = forbidden
        return problem


class Target(NamedTuple):
    """A parsed ``base_url``: ``path`` without its trailing slash, ``query`` without its question mark."""

    origin: Origin
    path: str
    query: str

    @classmethod
    def parse(cls, url: str) -> Target:
        """``https://h/openai/?api-version=1`` → (https, h, 443), ``/openai``, ``api-version=1``; ValueError."""
        parts = urlsplit(url)
        host = _normal_host(parts.hostname or "")
        if parts.scheme not in _PORTS or not host:
            raise ValueError("not an absolute http or https URL")
        origin = Origin(parts.scheme, host, parts.port or _PORTS[parts.scheme])
        return cls(origin, _visible(parts.path.rstrip("/")), _visible(parts.query))


def check_base_url(
    url: str, allow_http_hosts: Collection[str] = (), admin_listeners: Collection[tuple[str, int]] = ()
) -> list[UrlProblem]:
    """What stands against a ``base_url`` (AG-45, AG-46); empty if nothing does.

    ``admin_listeners``: (host, port) pairs that the gateway's own admin interface listens on.
    """
    if len(url) > MAX_URL_LENGTH:
        return [UrlProblem.of(f"longer than {MAX_URL_LENGTH} characters")]
    if _UNSAFE_URL.search(url):
        return [UrlProblem.of("contains a blank, a control character or a backslash")]
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        return [UrlProblem.of("not a valid URL")]
    if parts.scheme not in _PORTS or not host or port == 0:
        return [UrlProblem.of("not an absolute http or https URL")]
    normal = _normal_host(host)
    stands_against = {
        "contains user information": "@" in parts.netloc,
        "contains a fragment": "#" in url,
        f"'{host}' is not a valid host name or address": not normal,
        f"'{host}' must not be an upstream": _is_refused_host(normal),
        "leads to the gateway's own admin listener": is_admin_listener(
            normal, port or _PORTS[parts.scheme], admin_listeners
        ),
        f"http is not allowed for '{host}'; use https": parts.scheme == "http"
        and not _may_use_http(normal, allow_http_hosts),
    }
    return [UrlProblem.of(text, forbidden=True) for text, holds in stands_against.items() if holds]


def is_refused_address(address: str | Address) -> bool:
    """Whether a resolved address must not be dialled (AG-46); what is no address is refused as well."""
    ip = _address(address) if isinstance(address, str) else _inner(address)
    return ip is None or any(ip in network for network in _REFUSED_NETWORKS)


def is_admin_listener(host: str, port: int, listeners: Collection[tuple[str, int]]) -> bool:
    """Whether (host, port) is one of the admin listener's; a listener on all or loopback addresses owns them all."""
    if not any(port == other for _, other in listeners):
        return False
    ip = _address(host)
    local = host == "localhost" or host.endswith(".localhost") or (ip is not None and ip.is_loopback)
    for other_host, other_port in listeners:
        other = _address(other_host)
        everywhere = other is not None and (other.is_unspecified or other.is_loopback)
        if port == other_port and (host == other_host or (ip is not None and ip == other)):
            return True
        if port == other_port and local and (everywhere or other_host in {"", "localhost"}):
            return True
    return False


def join(target: Target, surface: Surface) -> str:
    """The upstream path of a client's path under a base URL (AG-48); the query is ``merge_query``'s."""
    prefix, path = target.path, surface.path
    rest = path.removeprefix("/v1")
    if surface.format is Format.OPENAI:
        return prefix + rest if prefix else path
    versioned = _VERSION_SEGMENT.fullmatch(prefix.rpartition("/")[2])
    return prefix + rest if versioned else prefix + path


def merge_query(client_query: str, target_query: str, query_params: Mapping[str, str] = {}) -> str:
    """The upstream query: a later source replaces all values of that name (AG-216); credentials are left out (AG-205).

    Parameters keep their spelling and order: the client's, then the base URL's, then ``query_params``.
    """
    if not client_query and not query_params:
        return target_query
    client = [(name, text) for name, text in _parameters(client_query) if name.lower() not in CREDENTIAL_PARAMETERS]
    layers: list[Iterable[tuple[str, str]]] = [client, _parameters(target_query), _rendered(query_params)]
    kept: list[tuple[str, str]] = []
    for layer in layers:
        pairs = list(layer)
        names = {name for name, _ in pairs}
        kept = [pair for pair in kept if pair[0] not in names] + pairs
    return "&".join(text for _, text in kept)


def without_credentials(query: str) -> str:
    """A query fit for logs and action results: the parameters of AG-205 are left out."""
    return "&".join(text for name, text in _parameters(query) if name.lower() not in CREDENTIAL_PARAMETERS)


def _parameters(query: str) -> list[tuple[str, str]]:
    """``a=1&b=%32`` → decoded name and the text as written."""
    return [(unquote_plus(part.partition("=")[0]), _visible(part)) for part in query.split("&") if part]


def _rendered(params: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, f"{quote(name, safe='')}={quote(value, safe='')}") for name, value in params.items()]


def _visible(text: str) -> str:
    """Percent-encodes whatever could not stand in a request line."""
    return _NOT_VISIBLE.sub(lambda found: quote(found[0].encode("utf-8", "surrogateescape"), safe=""), text)


def _normal_host(host: str) -> str:
    """The host in lower case and ASCII; '' if it is neither a host name nor a plainly spelt address."""
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host)) if "%" not in host else ""
        except ValueError:
            return ""
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            return ""
    host = host.lower().removesuffix(".")
    labels = host.split(".")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            return ""
    return host if len(host) < 254 and all(_HOST_LABEL.fullmatch(label) for label in labels) else ""


def _is_refused_host(host: str) -> bool:
    return host in _REFUSED_HOSTS or (_address(host) is not None and is_refused_address(host))


def _may_use_http(host: str, allow_http_hosts: Collection[str]) -> bool:
    ip = _address(host)
    if ip is not None:
        return any(ip in network for network in _PRIVATE_NETWORKS) or host in allow_http_hosts
    if host.endswith(".internal") or "." not in host:
        return True
    return any(host == allowed.lower() for allowed in allow_http_hosts)


def _address(host: str) -> Address | None:
    """The address that a host text means, IPv4 taken out of IPv6; None for a host name."""
    try:
        return _inner(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return None


def _inner(ip: Address) -> Address:
    if isinstance(ip, ipaddress.IPv6Address) and any(ip in network for network in _EMBEDDING_NETWORKS):
        return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip
