"""The error table: every error that a client, a log or a policy author can see, and the exception that carries one.

Codes are never reused. ``ERR_NGROK_*`` keep the meaning that documented client code tests for (AG-301, TP-702);
``ERR_TP_*`` and ``ERR_AIGW_*`` are this gateway's own. Errors never log themselves. Not retryable unless said.
Sources: ai-gateway.md 12.2, traffic-policy.md 10.2.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class Source(enum.Enum):
    """Who is at fault."""

    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"
    CONFIGURATION = "configuration"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """One row of the table. ``message`` is a ``str.format`` template over the arguments of ``GatewayError``."""

    code: str
    status: int
    message: str
    source: Source
    retryable: bool = False
    remedy: str = ""
    param: str | None = None


TABLE: dict[str, ErrorSpec] = {}


def _row(
    code: str,
    status: int,
    message: str,
    source: Source,
    *,
    retryable: bool = False,
    remedy: str = "",
    param: str | None = None,
) -> ErrorSpec:
    spec = ErrorSpec(code, status, message, source, retryable, remedy, param)
    if code in TABLE:
        raise ValueError(f"duplicate error code {code}")
    TABLE[code] = spec
    return spec


_D, _U, _C, _I = Source.DOWNSTREAM, Source.UPSTREAM, Source.CONFIGURATION, Source.INTERNAL

# The AI gateway action (AG 12.2).
UPSTREAM_UNREACHABLE = _row(
    "ERR_NGROK_3800", 502, "Could not reach the AI provider. The upstream request failed.", _U, retryable=True,
    remedy="Check the provider's base_url and its status page.",
)  # fmt: skip
INVALID_BODY = _row(
    "ERR_NGROK_3801", 400, "Invalid request body: {reason}", _D, remedy="Send a JSON object with a string 'model'."
)
NO_API_KEY = _row(
    "ERR_NGROK_3802", 400,
    "No API key found. Check your SDK / AI Gateway configuration, or add API keys to your AI Gateway.", _D,
    remedy="Send a key, or list api_keys for the provider in the policy.",
)  # fmt: skip
SELECTION_FAILED = _row("ERR_NGROK_3803", 422, "Model selection failed: {reason}", _D, param="model")
NO_MODELS = _row("ERR_NGROK_3804", 422, "No matching models found: {reason}", _D, param="model")
SELECTION_EMPTY = _row("ERR_NGROK_3805", 422, "Model selection returned no results: {reason}", _D, param="model")
SELECTION_TYPE = _row(
    "ERR_NGROK_3806",
    422,
    "Expression '{expression}' must return an AIModel or []AIModel, got {actual}.",
    _C,
    param="model",
)
ALL_FAILED = _row("ERR_NGROK_3807", 503, "All providers failed: {reason}", _U, retryable=True)
KEY_SELECTION_FAILED = _row("ERR_NGROK_3808", 422, "API key selection strategy failed: {reason}", _C)
NOT_HTTP = _row(
    "ERR_NGROK_3809",
    422,
    "AI Gateway action can only be used on HTTP endpoints. This endpoint is using {protocol}.",
    _C,
)
TIMED_OUT = _row(
    "ERR_NGROK_3810",
    504,
    "Request timed out after {timeout}. Try a shorter prompt or increase your timeout.",
    _U,
    retryable=True,
)
INPUT_TOO_LARGE = _row(
    "ERR_NGROK_3811", 413, "Input too large: {tokens} tokens (max {maximum}). Shorten your prompt.", _D
)
TOO_MANY_ATTEMPTS = _row(
    "ERR_NGROK_3812", 503, "Too many failed attempts to upstream providers. Errors: {reason}", _U, retryable=True
)
SURFACE_UNSUPPORTED = _row(
    "ERR_NGROK_3813",
    422,
    "The gateway did not select any models compatible with the {format} API format.",
    _D,
    param="model",
)
UNSUPPORTED_PATH = _row(
    "ERR_NGROK_3814", 404, "Unsupported path: {path}; the path must be one of: {supported}", _D,
    remedy="Use the base URL ending in /v1.",
)  # fmt: skip
KEY_REQUIRED = _row("ERR_NGROK_3817", 400, "API key required for provider {provider}. {info}", _D)
PROVIDER_SETUP = _row(
    "ERR_NGROK_3819", 422, "Provider {provider} requires setup: attach a key, or pick one of {supported}.", _C
)
OUT_OF_CREDIT = _row("ERR_NGROK_4026", 403, "Your account has run out of credit.", _D)
INVALID_KEY = _row("ERR_NGROK_27007", 401, "The provided API key is invalid or does not exist.", _D)
KEY_OUT_OF_SCOPE = _row("ERR_NGROK_27008", 403, "This API key is scoped to a different gateway.", _D)
KEY_CHECK_FAILED = _row(
    "ERR_NGROK_27009", 500, "Failed to validate API key. Please try again later.", _I, retryable=True
)
AUTHENTICATION_FAILED = _row("ERR_NGROK_27201", 401, "Authentication failed: {reason}", _D)
NO_RULE_KEYS = _row("ERR_NGROK_27202", 422, 'No keys available for provider "{provider}".', _C)
UNSUPPORTED_SURFACE = _row("ERR_NGROK_27204", 404, 'Unsupported API surface "{path}".', _D)
SURFACE_NOT_IMPLEMENTED = _row("ERR_NGROK_27205", 426, 'API surface "{surface}" is not implemented.', _D)
UPSTREAM_TIMEOUT = _row("ERR_NGROK_27207", 504, "Upstream request timed out.", _U, retryable=True)
UPSTREAM_REJECTED = _row("ERR_NGROK_27210", 400, "Upstream rejected the request.", _U)
UPSTREAM_REJECTED_KEY = _row("ERR_NGROK_27211", 401, "Upstream rejected the API key.", _U)
UPSTREAM_DENIED = _row("ERR_NGROK_27212", 403, "Upstream denied access.", _U)
UPSTREAM_NOT_FOUND = _row("ERR_NGROK_27213", 404, "Upstream resource not found.", _U)
UPSTREAM_408 = _row("ERR_NGROK_27214", 408, "Upstream request timed out.", _U, retryable=True)
UPSTREAM_TOO_LARGE = _row("ERR_NGROK_27215", 413, "Upstream payload limit exceeded.", _U)
UPSTREAM_UNPROCESSABLE = _row("ERR_NGROK_27216", 422, "Upstream could not process the request.", _U)
UPSTREAM_RATE_LIMIT = _row("ERR_NGROK_27217", 429, "Upstream rate limit exceeded.", _U, retryable=True)
UPSTREAM_500 = _row("ERR_NGROK_27218", 500, "Upstream internal error.", _U, retryable=True)
UPSTREAM_502 = _row("ERR_NGROK_27219", 502, "Upstream bad gateway.", _U, retryable=True)
UPSTREAM_503 = _row("ERR_NGROK_27220", 503, "Upstream unavailable.", _U, retryable=True)
UPSTREAM_504 = _row("ERR_NGROK_27221", 504, "Upstream gateway timeout.", _U, retryable=True)
UPSTREAM_UNEXPECTED = _row("ERR_NGROK_27222", 502, "Upstream returned an unexpected status: {reason}", _U)
UPSTREAM_NETWORK = _row(
    "ERR_NGROK_27223", 502, "Network error contacting upstream provider: {reason}", _U, retryable=True
)
UPSTREAM_NOT_STREAMING = _row(
    "ERR_NGROK_27234", 502,
    "Upstream returned a non-streaming response (content-type {content_type}) despite a streaming request.", _U,
)  # fmt: skip
ROUTING_LOOP = _row("ERR_NGROK_27237", 508, "Request rejected: a routing loop was detected.", _C)

# The policy engine (TP 10.2).
EXPRESSION_FAILED = _row("ERR_NGROK_2254", 500, "Failed to evaluate a policy expression.", _C)
INTERPOLATION_FAILED = _row("ERR_NGROK_2238", 500, "Failed to resolve interpolated CEL expression.", _C)
FIELD_FAILED = _row("ERR_NGROK_2253", 500, "Failed to evaluate an expression of a policy action.", _C)
EVALUATION_LIMIT = _row("ERR_NGROK_2249", 500, "A policy action or expression exceeded its evaluation limits.", _C)
ACTION_FAILED = _row("ERR_NGROK_2300", 500, "Internal error in a policy action.", _I)
RATE_LIMITED = _row(
    "ERR_TP_RATE_LIMITED", 429,
    "Rate limit '{name}' exceeded: {capacity} requests per {window}. Try again in {retry_after} s.",
    _D, retryable=True,
)  # fmt: skip
ADDRESS_REFUSED = _row("ERR_NGROK_3203", 403, "Your IP address is not allowed to access this endpoint.", _D)
BASIC_AUTH_REFUSED = _row("ERR_TP_BASIC_AUTH", 401, "Valid basic authentication credentials are required.", _D)
JWT_MISSING = _row("ERR_TP_JWT_MISSING", 401, "A JSON Web Token is required.", _D)
JWT_INVALID = _row("ERR_TP_JWT_INVALID", 401, "The JSON Web Token is not valid.", _D)
JWKS_UNAVAILABLE = _row("ERR_TP_JWKS_UNAVAILABLE", 503, "No signing keys could be loaded.", _I, retryable=True)
CIRCUIT_OPEN = _row("ERR_NGROK_3202", 503, "The circuit breaker of this endpoint is open.", _U, retryable=True)
WEBHOOK_REFUSED = _row("ERR_NGROK_3204", 403, "The webhook's signature could not be verified.", _D)
REPLACE_INTERPOLATION = _row("ERR_NGROK_3900", 500, "Failed to interpolate a replacement.", _C)
REPLACE_REGEX = _row("ERR_NGROK_3901", 500, "Invalid regular expression after interpolation.", _C)
REPLACE_BUFFER = _row("ERR_NGROK_3902", 500, "Failed to buffer the body.", _I)
REPLACE_TOO_LARGE = _row("ERR_NGROK_3903", 413, "The body is larger than the buffer limit of {maximum} bytes.", _D)
REPLACE_FAILED = _row("ERR_NGROK_3904", 500, "Failed to change the body.", _I)
REPLACE_LENGTH = _row("ERR_NGROK_3905", 500, "Failed to update the body's length.", _I)
NO_ENDPOINT = _row("ERR_NGROK_3200", 404, "No such endpoint: {url}", _C)
BAD_UPSTREAM = _row("ERR_NGROK_3004", 502, "The upstream gave no valid answer.", _U, retryable=True)
HTTP_REQUEST_FAILED = _row("ERR_TP_HTTP_REQUEST", 502, "A request that the policy requires failed.", _U, retryable=True)
UNHANDLED = _row(
    "ERR_TP_UNHANDLED", 404, "No rule of this endpoint's policy handled the request.", _C,
    remedy="Add a terminating action such as ai-gateway, or give the endpoint an upstream.",
)  # fmt: skip

# The server itself (AG-305, AG-267).
INTERNAL = _row("ERR_AIGW_INTERNAL", 500, "Internal error.", _I)
BAD_REQUEST = _row("ERR_AIGW_BAD_REQUEST", 400, "Bad request: {reason}", _D)
REQUEST_TIMEOUT = _row("ERR_AIGW_TIMEOUT", 408, "The request took too long to arrive.", _D, retryable=True)
URI_TOO_LONG = _row("ERR_AIGW_TOO_LARGE", 431, "The request head is too large: {reason}", _D)
SHUTTING_DOWN = _row("ERR_AIGW_SHUTDOWN", 503, "The gateway is shutting down.", _I, retryable=True)


@dataclass(slots=True, eq=False)
class GatewayError(Exception):
    """A final error of one request; ``proxy/respond.py`` renders it in the caller's dialect.

    ``status`` overrides the table's (AG-176, 413 of 3801). ``type`` overrides AG-302 (AG-82).
    ``details`` is rendered as is; ``headers`` are added (``retry-after``, ``www-authenticate``, ``allow`` …).
    ``close``: the connection must not be reused. ``cause`` is for the log only.
    """

    spec: ErrorSpec
    arguments: Mapping[str, Any] = field(default_factory=dict)
    status: int = 0
    type: str | None = None
    details: Mapping[str, Any] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = False
    cause: str = ""

    def __post_init__(self) -> None:
        Exception.__init__(self, self.spec.code)
        if not self.status:
            self.status = self.spec.status

    @property
    def code(self) -> str:
        return self.spec.code

    @property
    def message(self) -> str:
        """The message without the trailing code (AG-301 adds it when rendering)."""
        return self.spec.message.format_map(self.arguments)

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"


def failure(spec: ErrorSpec, **arguments: Any) -> GatewayError:
    """``failure(INVALID_BODY, reason="…")``: the short way to build one."""
    return GatewayError(spec, arguments)
