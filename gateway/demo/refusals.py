"""Error bodies in both dialects, and the errors that behaviours ask for. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from gateway.demo.behaviour import Behaviour, Refusal
from gateway.demo.call import RefusedError

_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_ANTHROPIC_TYPES = {
    401: "authentication_error", 403: "permission_error", 404: "not_found_error", 408: "timeout_error",
    413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 503: "overloaded_error",
    529: "overloaded_error",
}  # fmt: skip
_MESSAGES = {
    400: "Invalid request.",
    401: "Incorrect API key provided.",
    403: "You are not allowed to use this model.",
    404: "The model does not exist or you do not have access to it.",
    408: "The request timed out.",
    409: "The request conflicts with another one.",
    413: "Request exceeds the maximum size.",
    422: "Unprocessable request.",
    429: "Rate limit reached for the demo model. Please try again later.",
    500: "The server had an error while processing your request. Sorry about that!",
    502: "Bad gateway.",
    503: "The engine is currently overloaded, please try again later.",
    504: "The gateway timed out.",
    529: "Overloaded",
}
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
_PAGE = (
    "<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n<center><h1>{status}</h1></center>\r\n"
    "<hr><center>demo</center>\r\n</body>\r\n</html>\r\n"
)


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """What a refusal sends."""

    status: int
    content_type: str
    body: bytes


def asked_refusal(behaviour: Behaviour, model: str, key: str, *, anthropic: bool) -> RefusedError | None:
    """The error that a behaviour asks for, if any."""
    match behaviour.refusal:
        case Refusal.CONTEXT_LENGTH:
            message = (
                "prompt is too long: 210018 tokens > 200000 maximum"
                if anthropic
                else "This model's maximum context length is 128000 tokens. However, your messages resulted in 210018"
                " tokens. Please reduce the length of the messages."
            )
            return RefusedError(400, message, code="context_length_exceeded", param="messages")
        case Refusal.CONTENT_FILTER:
            message = (
                "Output blocked by content filtering policy"
                if anthropic
                else "The response was filtered due to the prompt triggering the content management policy."
            )
            return RefusedError(400, message, code="content_filter", param="prompt")
        case Refusal.QUOTA:
            message = "You exceeded your current quota, please check your plan and billing details."
            return RefusedError(429, message, kind="" if anthropic else "insufficient_quota", code="insufficient_quota")
        case Refusal.OVERLOADED:
            return RefusedError(529 if anthropic else 503, "Overloaded")
        case Refusal.ECHO_KEY:
            return RefusedError(401, f"Incorrect API key provided: {key}.", code="invalid_api_key")
        case Refusal.NONE:
            if not behaviour.status:
                return None
            status = behaviour.status
            param = "model" if status == 404 else None
            return RefusedError(
                status, _MESSAGES.get(status, f"Status {status}."), code=_CODES.get(status), param=param
            )


def unknown_model(model: str, reason: str, *, anthropic: bool) -> RefusedError:
    """404 as for a model that does not exist; the message says what is wrong with the name."""
    message = f"model: {model}" if anthropic else f"The model `{model}` does not exist or you do not have access to it."
    return RefusedError(404, f"{message} ({reason})", code="model_not_found", param="model")


def render_refusal(refused: RefusedError, behaviour: Behaviour, request_id: str, *, anthropic: bool) -> ErrorBody:
    """The refusal's bytes in the caller's dialect."""
    status = refused.status
    if behaviour.html:
        return ErrorBody(status, "text/html", _PAGE.format(status=status).encode())
    error: dict[str, Any]
    if anthropic:
        kind = refused.kind or _ANTHROPIC_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
        error = {"type": kind, "message": refused.message}
        body = {"type": "error", "error": error, "request_id": request_id}
    else:
        fallback = "server_error" if status >= 500 else "invalid_request_error"
        kind = refused.kind or _OPENAI_TYPES.get(status, fallback)
        error = {"message": refused.message, "type": kind, "param": refused.param, "code": refused.code}
        body = {"error": error}
    if behaviour.numeric_code:
        error["code"] = status
    return ErrorBody(status, "application/json", orjson.dumps(body))
