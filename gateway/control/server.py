"""The management listener: one request in, one checked call to a handler, one answer (CP-1 to CP-9, CP-20).

Order of checks: host · admin key · path and method · version · query · body. Nothing is read of a request's body before
the key is known to be good, and bodies are never inflated (P14).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from gateway.auth.access_keys import Identity
from gateway.auth.tokens import redact
from gateway.control.access import Gatekeeper, HostCheck
from gateway.control.errors import (
    BODY_TOO_LARGE,
    INTERNAL,
    MALFORMED,
    NO_CONTENT_TYPE,
    NO_ENCRYPTION,
    NOT_JSON,
    STORE_UNAVAILABLE,
    WRONG_CONTENT_TYPE,
    WRONG_HOST,
    WRONG_VERSION,
    ApiError,
)
from gateway.control.http import HttpServer
from gateway.control.openapi import build_document
from gateway.control.plane import ControlPlane
from gateway.control.render import error_body
from gateway.control.request import Call, Reply, Route, Style, read_query
from gateway.control.routes import ROUTES, Router
from gateway.control.schema import Object
from gateway.secrets.crypto import SealError
from gateway.settings.address import Listen
from gateway.settings.model import AdminSettings
from gateway.store.db import StoreUnavailable
from gateway.store.ids import IdSource

BODY_MAXIMUM: Final = 1 << 20
_JSON: Final = "application/json"
_SHUTDOWN_S: Final = 5.0
_READ_S: Final = 30.0
_METHODS: Final = "GET, HEAD, POST, PATCH, DELETE"

log = logging.getLogger("gateway.control")


class UnsafeListenError(Exception):
    """The listener would be reachable from outside without TLS (CP-1); start must fail."""


class AdminServer:
    """The listener of one control plane."""

    def __init__(self, plane: ControlPlane, settings: AdminSettings) -> None:
        if not settings.listen.loopback and settings.tls is None and not settings.allow_plaintext:
            raise UnsafeListenError(
                f"admin.listen {settings.listen} is no loopback address: configure admin.tls, or admin.allow_plaintext"
            )
        self._plane = plane
        self._settings = settings
        self._ids = IdSource()
        self._hosts = HostCheck(settings.listen.host, settings.allowed_hosts)
        self._gatekeeper = Gatekeeper(settings.auth_failures_per_minute, settings.rate_limit, plane.clock)
        routes = (*ROUTES, _document_route())
        self._router = Router(routes)
        self._tls = _tls_context(settings)
        self._runner: web.ServerRunner | None = None
        #: where it really listens; with port 0 known after ``start``
        self.listen = settings.listen

    async def start(self, inherited: socket.socket | None = None) -> None:
        """Listens; on a socket handed over by systemd if there is one (SV-22)."""
        self._runner = web.ServerRunner(HttpServer(self._serve, self._refuse), shutdown_timeout=_SHUTDOWN_S)
        await self._runner.setup()
        await self._site(self._runner, inherited).start()
        address = self._runner.addresses[0]
        if isinstance(address, tuple):
            self.listen = Listen(str(address[0]), int(address[1]))

    async def stop(self) -> None:
        """Finishes running requests and closes."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def reload_tls(self) -> None:
        """Reads the certificate again; new connections use it. Raises OSError or ssl.SSLError and keeps the old one."""
        if self._tls is not None and self._settings.tls is not None:
            # First into another: a key that does not fit would leave half of the pair behind.
            _tls_context(self._settings)
            self._tls.load_cert_chain(self._settings.tls.cert_file, self._settings.tls.key_file)

    def _site(self, runner: web.ServerRunner, inherited: socket.socket | None) -> web.BaseSite:
        if inherited is not None:
            return web.SockSite(runner, inherited, ssl_context=self._tls)
        if self._settings.listen.path:
            return web.UnixSite(runner, self._settings.listen.path, ssl_context=self._tls)
        return web.TCPSite(runner, self._settings.listen.host, self._settings.listen.port, ssl_context=self._tls)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Never raises: whatever goes wrong is an answer."""
        operation_id = self._ids.draw("op_", int(self._plane.clock.now() * 1e9))
        style = self._router.style_of(request.rel_url.raw_path)
        try:
            reply = self._preflight(request) or await self._answer(request, style, operation_id)
            return self._respond(request, operation_id, reply)
        except ApiError as error:
            refusal = error
        except StoreUnavailable as unavailable:
            refusal = ApiError(STORE_UNAVAILABLE, trouble=unavailable.trouble, headers=(("retry-after", "1"),))
        except SealError:
            log.exception("a stored value does not open (%s)", operation_id)
            refusal = ApiError(NO_ENCRYPTION)
        except Exception:  # a bug: the details belong in the log only
            log.exception("internal error in %s", operation_id)
            refusal = ApiError(INTERNAL)
        reply = Reply(refusal.status, error_body(refusal, style, operation_id))
        return self._respond(request, operation_id, reply, refusal.headers)

    def _refuse(self, request: web.BaseRequest, ours: bool) -> web.Response:
        """The answer to a request that could not be read (CP-5, CP-20)."""
        operation_id = self._ids.draw("op_", int(self._plane.clock.now() * 1e9))
        refusal = ApiError(INTERNAL if ours else MALFORMED)
        return self._respond(request, operation_id, Reply(refusal.status, error_body(refusal, Style.A, operation_id)))

    async def _answer(self, request: web.BaseRequest, style: Style, operation_id: str) -> Reply:
        raw_path, source = request.rel_url.raw_path, _source(request)
        if not self._hosts.admits(request.headers.get("Host"), _local_address(request)):
            raise ApiError(WRONG_HOST)
        principal = await self._principal(request, source, operation_id)
        route, item = self._router.find(request.method, raw_path)
        if style is Style.B and request.headers.get("Ngrok-Version", "2") != "2":
            raise ApiError(WRONG_VERSION)
        pairs: dict[str, list[str]] = {}
        for name, value in request.rel_url.query.items():
            pairs.setdefault(name, []).append(value)
        call = Call(
            style=style,
            path=raw_path,
            base=self._settings.public_url.rstrip("/") or f"{request.scheme}://{request.headers.get('Host', '')}",
            operation_id=operation_id,
            principal=principal.id if principal is not None else "",
            source_ip=source,
            item=item,
            query=read_query(pairs, route.query) if principal is not None else {},
            body=await _read_body(request, route.body) if route.body is not None else {},
        )
        return await route.handler(self._plane, call)

    async def _principal(self, request: web.BaseRequest, source: str, operation_id: str) -> Identity | None:
        """The admin key that asks; None where none is needed."""
        raw_path = request.rel_url.raw_path
        if self._router.is_public(request.method, raw_path):
            return None
        if raw_path == "/metrics" and self._settings.public_metrics and request.method in ("GET", "HEAD"):
            return None
        try:
            identity = self._gatekeeper.identify(
                request.headers.get("Authorization"), self._plane.view.admin_keys, source
            )
        except ApiError as error:
            if error.status == 401:
                await self._note_failure(request, error, source, operation_id)
            raise
        self._plane.last_used.touch(identity.id, self._plane.now_ms())
        return identity

    async def _note_failure(self, request: web.BaseRequest, error: ApiError, source: str, operation_id: str) -> None:
        """``admin_authentication_failed`` (CP-115); a store in trouble does not change the answer."""
        call = Call(style=Style.A, path="", base="", operation_id=operation_id, principal="", source_ip=source)
        credential = request.headers.get("Authorization", "").rpartition(" ")[2]
        shown = {"errorCode": error.code.code, "credential": redact(credential)[-4:] if credential else ""}
        try:
            await self._plane.note(call, "admin_authentication_failed", {"object": shown, "changed": []})
        except StoreUnavailable as unavailable:
            log.warning("a failed authentication could not be recorded: %s", unavailable)

    def _preflight(self, request: web.BaseRequest) -> Reply | None:
        """A browser of a listed origin asks first (CP-4)."""
        if request.method == "OPTIONS" and self._origin(request) and "Access-Control-Request-Method" in request.headers:
            return Reply(204)
        return None

    def _origin(self, request: web.BaseRequest) -> str | None:
        origin = request.headers.get("Origin")
        return origin if origin is not None and origin in self._settings.cors_origins else None

    def _respond(
        self, request: web.BaseRequest, operation_id: str, reply: Reply, extra: tuple[tuple[str, str], ...] = ()
    ) -> web.Response:
        headers = {"cache-control": "no-store", "x-operation-id": operation_id, "server": "gateway", **dict(extra)}
        origin = self._origin(request)
        if origin is not None:
            headers["access-control-allow-origin"] = origin
            headers["access-control-allow-methods"] = _METHODS
            headers["access-control-allow-headers"] = "authorization, content-type, ngrok-version"
            headers["vary"] = "origin"
        if reply.body is None:
            return web.Response(status=reply.status, headers=headers)
        body = reply.body if isinstance(reply.body, bytes) else orjson.dumps(reply.body)
        headers["content-type"] = reply.content_type
        return web.Response(status=reply.status, body=body, headers=headers)


async def _read_body(request: web.BaseRequest, shape: Object) -> Mapping[str, Any]:
    """The checked body of a request that has one (CP-6, CP-7)."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ApiError(WRONG_CONTENT_TYPE, given=f"encoded {request.headers['Content-Encoding'][:40]}")
    if request.can_read_body:
        given = request.headers.get("Content-Type")
        if given is None:
            raise ApiError(NO_CONTENT_TYPE)
        if given.partition(";")[0].strip().lower() != _JSON:
            raise ApiError(WRONG_CONTENT_TYPE, given=given[:80])
    text = await _read_bytes(request)
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ApiError(NOT_JSON) from None
    if not isinstance(body, dict):
        raise ApiError(NOT_JSON)
    return shape.parse(body)


async def _read_bytes(request: web.BaseRequest) -> bytes:
    if request.content_length is not None and request.content_length > BODY_MAXIMUM:
        raise ApiError(BODY_TOO_LARGE, maximum=BODY_MAXIMUM)
    chunks, size = [], 0
    try:
        async with asyncio.timeout(_READ_S):
            async for chunk in request.content.iter_any():
                size += len(chunk)
                if size > BODY_MAXIMUM:
                    raise ApiError(BODY_TOO_LARGE, maximum=BODY_MAXIMUM)
                chunks.append(chunk)
    except (TimeoutError, web.PayloadAccessError, web.RequestPayloadError):
        raise ApiError(MALFORMED) from None
    return b"".join(chunks)


def _source(request: web.BaseRequest) -> str:
    """The peer's address; forwarded headers are not believed here."""
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    return str(peer[0]) if isinstance(peer, tuple) else "unix"


def _local_address(request: web.BaseRequest) -> str:
    own = request.transport.get_extra_info("sockname") if request.transport is not None else None
    return str(own[0]) if isinstance(own, tuple) else ""


def _tls_context(settings: AdminSettings) -> ssl.SSLContext | None:
    if settings.tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls.cert_file, settings.tls.key_file)
    return context


def _document_route() -> Route:
    """``/openapi.json`` describes the routes, itself included."""

    async def answer(plane: ControlPlane, call: Call) -> Reply:
        return Reply(200, document)

    route = Route(method="GET", path="/openapi.json", name="GetOpenAPI", handler=answer, head=True)
    document = orjson.dumps(build_document((*ROUTES, route)))
    return route
