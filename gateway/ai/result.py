"""``actions.ngrok.ai_gateway``: what a call did, for later actions, response rules and logs (AG-280).

Built from the call when somebody asks: requests whose policy does not look at it pay nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.ai.candidates import rejected_map
from gateway.ai.credentials import CREDENTIAL_HEADERS, scrub, trim
from gateway.ai.entities import DEFAULT_TOKENIZER
from gateway.ai.providers import without_credentials
from gateway.ai.strategies import shared_names, shown_name
from gateway.cel.env import DYN, INT, STRING, CelType, list_of, map_of, nullable

if TYPE_CHECKING:
    from gateway.ai.call import AiCall
    from gateway.ai.entities import Candidate, ProviderKey
    from gateway.ai.key_order import KeyOrder
    from gateway.exchange import Attempt

_BODY_LIMIT = 1_024


class AiGatewayResult:
    """The members of AG-280; all but ``status`` are computed when read."""

    __slots__ = ("_call",)
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "status": STRING,
        "error": nullable(map_of(DYN)),
        "client": map_of(DYN),
        "input_ngrok_tokens": INT,
        "output_ngrok_tokens": INT,
        "gateway_latency_ms": INT,
        "model_selection": list_of(DYN),
        "models_tried": list_of(DYN),
        "success": nullable(map_of(DYN)),
    }

    def __init__(self, call: AiCall) -> None:
        self._call = call

    @property
    def status(self) -> str:
        return self._call.status

    @property
    def error(self) -> dict[str, str] | None:
        error = self._call.exchange.error
        if self._call.status != "error" or error is None:
            return None
        return {"code": error.code, "message": error.message}

    @property
    def client(self) -> dict[str, Any]:
        call = self._call
        exchange = call.exchange
        request = call.request
        plan = call.plan
        credential = call.credential
        return {
            "method": exchange.method,
            "path": exchange.path,
            "user_agent": exchange.headers.first("user-agent") or "",
            "request_headers": _safe_headers(exchange.headers),
            "model": request.model if request is not None else None,
            "models": list(request.models) if request is not None else [],
            "api_key_hash": credential.token.trimmed() if credential is not None else "",
            "rejected_models": list(rejected_map(plan.rejected)) if plan is not None else [],
        }

    @property
    def input_ngrok_tokens(self) -> int:
        call = self._call
        if not call.estimated_input and call.request is not None:
            candidate = call.candidates[0] if call.candidates else None
            encoding = candidate.tokenizer if candidate is not None else DEFAULT_TOKENIZER
            call.estimated_input = call.gateway.estimator.guess_input(call.request, encoding)
        return call.estimated_input

    @property
    def output_ngrok_tokens(self) -> int:
        return self._call.estimated_output

    @property
    def gateway_latency_ms(self) -> int:
        exchange = self._call.exchange
        total_s = self._call.gateway.clock.monotonic() - exchange.started
        return round(max(0.0, total_s - exchange.upstream_wait_s) * 1_000)

    @property
    def model_selection(self) -> list[Mapping[str, Any]]:
        plan = self._call.plan
        return [selection.as_map() for selection in plan.selections] if plan is not None else []

    @property
    def models_tried(self) -> list[dict[str, Any]]:
        call = self._call
        shared = shared_names(call.candidates)
        return [
            self._tried(candidate, order, shared, [a for a in call.exchange.attempts if a.candidate is candidate])
            for candidate, order in call.key_orders
        ]

    @property
    def success(self) -> dict[str, Any] | None:
        call = self._call
        if call.status != "success" or not call.key_orders or not call.exchange.attempts:
            return None
        candidate, _ = call.key_orders[-1]
        made = [attempt for attempt in call.exchange.attempts if attempt.candidate is candidate]
        return {
            "model_index": len(call.key_orders) - 1,
            "request_index": len(made) - 1,
            "model": shown_name(candidate, shared_names(call.candidates)),
            "provider": candidate.provider.id,
            "author": candidate.author,
        }

    def _tried(
        self, candidate: Candidate, order: KeyOrder, shared: frozenset[str], attempts: list[Attempt]
    ) -> dict[str, Any]:
        tried: dict[str, Any] = {
            "model": shown_name(candidate, shared),
            "provider": candidate.provider.id,
            "author": candidate.author,
            "api_key_selection": [selection.as_map() for selection in order.selections]
            or [{"strategy": "ai.keys", "error": "", "keys_to_try": [key.value.trimmed() for key in order.keys]}],
            "requests_made": [_made(attempt, candidate, self._call) for attempt in attempts if attempt.sent],
        }
        if order.cooling:
            tried["cooling_keys"] = list(order.cooling)
        failed = next((attempt for attempt in attempts if not attempt.sent), None)
        if failed is not None:
            tried["error"] = failed.message
        return tried


def _made(attempt: Attempt, candidate: Candidate, call: AiCall) -> dict[str, Any]:
    """One entry of ``requests_made``."""
    key: ProviderKey | None = attempt.key
    usage = attempt.usage
    target = candidate.provider.target
    path, _, query = attempt.route.head.url(call.upstream_query).partition("?")
    query = without_credentials(query)
    head = attempt.head
    secrets = () if key is None else (key.value,)
    first_byte_s = attempt.first_byte - attempt.sent if attempt.first_byte else 0.0
    total_s = attempt.completed - attempt.sent if attempt.completed else 0.0
    response: dict[str, Any] = {
        "status_code": attempt.status,
        "headers": dict(head.header_map(secret=key.value if key is not None else None)) if head is not None else {},
    }
    if attempt.kind:
        response["body_on_error"] = scrub(attempt.body[:_BODY_LIMIT].decode("utf-8", "replace"), secrets)
    made: dict[str, Any] = {
        "status": "error" if attempt.kind else "success",
        "upstream_input_tokens": usage.input if usage is not None else 0,
        "upstream_output_tokens": usage.output if usage is not None else 0,
        "request": {
            "url": f"{target.origin}{path}" + (f"?{query}" if query else ""),
            "api_key": key.value.trimmed() if key is not None and key.value else "",
        },
        "response": response,
        "upstream_latency": {"time_to_first_byte_ms": round(first_byte_s * 1_000), "total_ms": round(total_s * 1_000)},
    }
    if attempt.kind:
        made["error"] = attempt.message
    return made


def _safe_headers(headers: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Credentials trimmed, cookies removed (AG-280)."""
    return {
        name: [trim(value) for value in values]
        if name in CREDENTIAL_HEADERS or name == "proxy-authorization"
        else list(values)
        for name, values in headers.items()
        if name != "cookie"
    }
