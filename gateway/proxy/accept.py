"""From a parsed request head to an Exchange: target, host, limits, and the decision which endpoint is meant.

``read_head`` judges what the head says by itself, once for heads that repeat themselves (``heads``); ``open_exchange``
adds what is this request's own.

The path is normalised here, once, and rules and router see the same one (TP-140, P20).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from gateway import errors
from gateway.errors import failure
from gateway.exchange import Connection, Exchange, RequestHead
from gateway.headers import HeaderMap
from gateway.policy.paths import normalise
from gateway.proxy.payload import HEAD_LIMIT_BYTES
from gateway.proxy.tls import tls_facts

if TYPE_CHECKING:
    import asyncio

    from aiohttp.http_parser import RawRequestMessage

    from gateway.clock import Clock
    from gateway.proxy.announced import Announced
    from gateway.proxy.downstream import Downstream
    from gateway.proxy.handler import HandlerParts


def read_head(downstream: Downstream, message: RawRequestMessage) -> RequestHead:
    """Judges a head that was just parsed; raises GatewayError for one that cannot be served."""
    raw_headers = message.raw_headers
    if downstream.large_head:
        downstream.large_head = False
        if sum([len(name) + len(value) + 4 for name, value in raw_headers]) > HEAD_LIMIT_BYTES:
            raise _closing(errors.URI_TOO_LONG, "the request head is too large")
    headers = HeaderMap.from_raw(raw_headers)
    coding = headers.get("transfer-encoding")
    if coding is not None and (len(coding) > 1 or coding[0].lower() != "chunked"):
        raise _closing(errors.BAD_REQUEST, "unknown transfer coding")
    version = message.version
    http_11 = version.minor >= 1 and version.major == 1
    host = _host(headers, required=http_11)
    path_target = target = message.path
    if not target.startswith("/"):
        path_target, host = _absolute(target, host)
    path, query = normalise(path_target)
    length = headers.get("content-length")
    keep_alive = not message.should_close and not message.upgrade
    return RequestHead(
        message.method,
        target,
        headers,
        host=host,
        path=path,
        query=query,
        http_11=http_11,
        keep_alive=keep_alive,
        length=int(length[0]) if length is not None and length[0].isdigit() else None,
        plain=http_11 and keep_alive and coding is None and length is not None and "expect" not in headers,
    )


def open_exchange(downstream: Downstream, head: RequestHead, parts: HandlerParts) -> Exchange:
    """The exchange of one request with this head; raises GatewayError if it leads nowhere."""
    snapshot = parts.snapshot.current
    if head.snapshot is not snapshot:
        head.endpoint = parts.listener.endpoint_for(head.host, snapshot)
        head.snapshot = snapshot
        head.notes.clear()
    endpoint = head.endpoint
    if endpoint is None:
        raise failure(errors.NO_ENDPOINT, url=head.host)
    headers = head.headers
    length = downstream.length
    if length is None:
        length = head.length
    elif length != head.length:
        headers = HeaderMap(headers)
        headers.set("content-length", str(length))
    conn = downstream.conn
    trusted = snapshot.settings.server.trusted_proxies
    if trusted:
        conn = _behind_proxy(conn, headers, trusted)
    monotonic, now, next_id = parts.clock.monotonic, parts.clock.now, parts.next_id
    return Exchange(
        next_id(), snapshot, endpoint, conn, downstream, head.method, head.target, head.path, head.query,
        head.host, endpoint.scheme, headers, monotonic(), now(),
        "HTTP/1.1" if head.http_11 else "HTTP/1.0", head.keep_alive, length, head,
    )  # fmt: skip


def _host(headers: HeaderMap, *, required: bool) -> str:
    values = headers.get("host")
    if values is None:
        if required:
            raise _closing(errors.BAD_REQUEST, "missing host header")
        return ""
    if len(values) > 1:
        raise _closing(errors.BAD_REQUEST, "more than one host header")
    return values[0]


def _absolute(target: str, host: str) -> tuple[str, str]:
    """``http://host/path`` → its path and its host, which wins over the header (RFC 9112, 3.2.2)."""
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise _closing(errors.BAD_REQUEST, "unsupported request target")
    authority, slash, path = rest.partition("/")
    return slash + path or "/", authority.rpartition("@")[2] or host


def _closing(spec: errors.ErrorSpec, reason: str) -> errors.GatewayError:
    error = failure(spec, reason=reason)
    error.close = True
    return error


def _behind_proxy(
    conn: Connection, headers: HeaderMap, trusted: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
) -> Connection:
    """The right-most address outside the trusted proxies, if the peer is one of them (SV-13, P29)."""
    forwarded = headers.get("x-forwarded-for")
    if forwarded is None or not _is_trusted(conn.client_ip, trusted):
        return conn
    found = conn.client_ip
    for entry in reversed([part.strip() for line in forwarded for part in line.split(",")]):
        try:
            address = ipaddress.ip_address(entry)
        except ValueError:
            break
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        found = str(address)
        if not any(address in network for network in trusted):
            break
    if found == conn.client_ip:
        return conn
    return Connection(found, 0, conn.server_ip, conn.server_port, conn.started_s, conn.tls)


def _is_trusted(ip: str, trusted: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    return any(address in network for network in trusted)


def connection_facts(transport: asyncio.BaseTransport, clock: Clock, announced: Announced | None = None) -> Connection:
    """Addresses of a new connection; Unix sockets have none. IPv4-mapped addresses are written as IPv4 (TP-132).

    ``announced``: what a PROXY header said instead (SV-13).
    """
    if announced is not None:
        return Connection(
            announced.client_ip, announced.client_port, announced.server_ip, announced.server_port, clock.now()
        )
    peer = transport.get_extra_info("peername")
    local = transport.get_extra_info("sockname")
    client_ip, client_port = _endpoint_of(peer)
    server_ip, server_port = _endpoint_of(local)
    return Connection(client_ip, client_port, server_ip, server_port, clock.now(), tls_facts(transport))


def _endpoint_of(name: object) -> tuple[str, int]:
    if isinstance(name, tuple) and len(name) >= 2:
        ip = str(name[0])
        return (ip.removeprefix("::ffff:") if ip.startswith("::ffff:") and "." in ip else ip), int(name[1])
    return "", 0
