"""What the head of a request means to one gateway: worked out once for heads that repeat themselves (``proxy.heads``).

Nothing here depends on the body, on the policy's run or on the time. Whether a gateway key is valid is asked for every
request; that a token *is* one does not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import errors
from gateway.ai import models_list
from gateway.ai.credentials import client_credential
from gateway.ai.outbound import HOP_HEADER, client_lines, next_hop
from gateway.ai.surfaces import MODELS_PATH, SURFACES, path_format
from gateway.errors import GatewayError, failure

if TYPE_CHECKING:
    from gateway.ai.candidates import Universe
    from gateway.ai.credentials import ClientCredential
    from gateway.ai.gateway import AiGateway
    from gateway.ai.outbound import ClientLines
    from gateway.ai.reach import Reach
    from gateway.ai.surfaces import Surface
    from gateway.exchange import Exchange

SUPPORTED_PATHS = ", ".join((*SURFACES, MODELS_PATH))


class Caller:
    """Immutable; shared between requests."""

    __slots__ = ("credential", "lines", "reach", "surface", "universe")

    def __init__(
        self, surface: Surface | None, credential: ClientCredential | None, lines: ClientLines, universe: Universe,
        reach: Reach | None,
    ) -> None:  # fmt: skip
        #: None: a path below ``/v1/models``
        self.surface = surface
        self.credential = credential
        #: header lines that go upstream, but for the action's own and for secrets that the policy used
        self.lines = lines
        #: where ``reach`` belongs
        self.universe = universe
        #: None: it depends on the gateway key
        self.reach = reach


def caller_of(gateway: AiGateway, exchange: Exchange) -> Caller:
    """Raises GatewayError for a request that no AI gateway serves, whatever its body."""
    head = exchange.head
    if head is None:
        return _read(gateway, exchange)
    known: Caller | None = head.notes.get(gateway)
    if known is None or known.universe is not gateway.universe:
        known = head.notes[gateway] = _read(gateway, exchange)
    return known


def _read(gateway: AiGateway, exchange: Exchange) -> Caller:
    path, headers = exchange.path, exchange.headers
    surface = SURFACES.get(path)
    if surface is None and not models_list.is_models_path(path):
        raise _unknown_path(gateway, path)
    if "upgrade" in headers and "websocket" in headers["upgrade"][0].lower():
        raise _no_upgrade(path)
    allowed = "POST" if surface is not None else "GET"
    if exchange.method != allowed:
        raise _wrong_method(gateway, path, allowed)
    hop = next_hop(headers.get(HOP_HEADER), gateway.instance_id)
    credential = client_credential(headers, path_format(path))
    lines = client_lines(headers, hop=hop, replaced=gateway.headers)
    reach = None if credential is not None and credential.is_gateway_key else gateway.reach_of(credential)
    return Caller(surface, credential, lines, gateway.universe, reach)


def _unknown_path(gateway: AiGateway, path: str) -> GatewayError:
    if gateway.options.shared:
        return failure(errors.UNSUPPORTED_SURFACE, path=path[:256])
    return failure(errors.UNSUPPORTED_PATH, path=path[:256], supported=SUPPORTED_PATHS)


def _wrong_method(gateway: AiGateway, path: str, allowed: str) -> GatewayError:
    error = _unknown_path(gateway, path)
    error.status = 405
    error.headers = (("allow", allowed),)
    return error


def _no_upgrade(path: str) -> GatewayError:
    """Coding agents that try a WebSocket first fall back at once on 426 (AG-69, P39)."""
    error = failure(errors.SURFACE_NOT_IMPLEMENTED, surface=f"{path} over WebSocket")
    error.close = True
    return error
