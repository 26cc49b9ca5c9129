"""Errors of the management API: one row per code (control-api.md 6), and the exception that carries one.

The data plane's table is ``gateway.errors``; this one is apart because these codes appear nowhere else and their bodies
have two shapes of their own (CP-20).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Code(NamedTuple):
    """``message`` is a ``str.format`` template over the arguments of ``ApiError``."""

    code: str
    status: int
    message: str


def _ngrok(number: int, status: int, message: str) -> Code:
    return Code(f"ERR_NGROK_{number}", status, message)


NO_CREDENTIAL: Final = _ngrok(200, 401, "The authorization header is missing.")
NOT_BEARER: Final = _ngrok(201, 401, "The authorization header must have the form 'Bearer <admin key>'.")
NOT_AN_ADMIN_KEY: Final = _ngrok(202, 401, "The credential is not an admin key.")
UNKNOWN_ADMIN_KEY: Final = _ngrok(203, 401, "The admin key is unknown or was deleted.")
WRONG_CONTENT_TYPE: Final = _ngrok(210, 415, "The content type '{given}' is not supported; send application/json.")
BODY_TOO_LARGE: Final = _ngrok(212, 413, "The body is larger than {maximum} bytes.")
NOT_JSON: Final = _ngrok(213, 400, "The body is not a JSON object.")
UNKNOWN_MEMBER: Final = _ngrok(214, 400, "Unknown or read-only member: {names}.")
WRONG_TYPE: Final = _ngrok(215, 400, "'{field}' must be {wanted}.")
NO_CONTENT_TYPE: Final = _ngrok(216, 415, "The content-type header is missing; send application/json.")
WRONG_VERSION: Final = _ngrok(217, 400, "The only supported version is 2.")
THROTTLED: Final = _ngrok(226, 429, "Too many {what}. Try again in {seconds} s.")
UNKNOWN_PARAMETER: Final = _ngrok(231, 400, "Unknown query parameter: {names}.")
REPEATED_PARAMETER: Final = _ngrok(232, 400, "The query parameter '{name}' may be given once.")
BAD_TIME: Final = _ngrok(241, 400, "{reason}")
BAD_LIMIT: Final = _ngrok(244, 400, "'limit' must be a number from 1 to 100.")
BAD_FILTER: Final = _ngrok(250, 400, "The filter is not valid: {reason}")

VAULT_NAME: Final = _ngrok(23000, 400, "A vault's name may have letters, digits and '_', '/', '.', '-'.")
VAULT_NAME_EMPTY: Final = _ngrok(23001, 400, "A vault needs a name.")
VAULT_NAME_LONG: Final = _ngrok(23002, 400, "A vault's name may have {maximum} characters.")
VAULT_NOT_EMPTY: Final = _ngrok(23003, 409, "The vault still has secrets.")
VAULT_NAME_TAKEN: Final = _ngrok(23004, 409, "There is a vault named '{name}' already.")
SECRET_NAME: Final = _ngrok(24000, 400, "A secret's name may have letters, digits and '_', '/', '.', '-'.")
SECRET_NAME_EMPTY: Final = _ngrok(24001, 400, "A secret needs a name.")
SECRET_NAME_LONG: Final = _ngrok(24002, 400, "A secret's name may have {maximum} characters.")
SECRET_VALUE_EMPTY: Final = _ngrok(24003, 400, "A secret needs a value.")
SECRET_VALUE_LONG: Final = _ngrok(24004, 400, "A secret's value may have {maximum} bytes.")
SECRET_NAME_TAKEN: Final = _ngrok(24005, 409, "The vault has a secret named '{name}' already.")
VAULT_NOT_FOUND: Final = _ngrok(24006, 404, "Vault not found.")
NO_VAULT: Final = _ngrok(24008, 400, "Give vault_id or vault_name.")
VAULT_NAME_NOT_FOUND: Final = _ngrok(24009, 404, "There is no vault named '{name}'.")

ENDPOINT_NOT_FOUND: Final = _ngrok(27002, 404, "Endpoint not found.")
ENDPOINT_WITHOUT_GATEWAY: Final = _ngrok(27003, 422, "The endpoint has no AI gateway.")
B_DESCRIPTION_LONG: Final = _ngrok(27004, 422, "The description may have {maximum} characters.")
B_METADATA_LONG: Final = _ngrok(27005, 422, "The metadata may have {maximum} characters.")
B_MEMBER_MISSING: Final = _ngrok(27006, 422, "'{field}' is required.")
KEY_NAME_LONG: Final = _ngrok(27501, 422, "A provider key's name may have {maximum} characters.")
KEY_DESCRIPTION_LONG: Final = _ngrok(27502, 422, "A provider key's description may have {maximum} characters.")
KEY_METADATA_LONG: Final = _ngrok(27503, 422, "A provider key's metadata may have {maximum} characters.")
NO_ENCRYPTION: Final = _ngrok(27505, 500, "Encryption is not available: the master key does not open stored values.")
TOO_MANY_KEYS: Final = _ngrok(27506, 422, "A gateway key may have {maximum} keys per provider.")
KEY_VALUE_EMPTY: Final = _ngrok(27507, 422, "A provider key needs a value.")
UNKNOWN_PROVIDER: Final = _ngrok(27508, 422, "There is no provider '{name}'.")
GATEWAY_KEY_NOT_FOUND: Final = _ngrok(27509, 404, "AI Gateway API key not found.")
KEY_MEMBER_MISSING: Final = _ngrok(27510, 422, "'{field}' is required.")
KEY_REFERENCED: Final = _ngrok(27511, 409, "A configuration's router still uses this provider key.")

MEMBER_MISSING: Final = _ngrok(27602, 422, "'{field}' is required.")
NAME_LONG: Final = _ngrok(27603, 422, "The name may have {maximum} characters.")
METADATA_LONG: Final = _ngrok(27604, 422, "The metadata may have {maximum} characters.")
BAD_ROUTER: Final = _ngrok(27605, 422, "The router is not valid: {reason}.")
BAD_VALUE: Final = _ngrok(27606, 422, "'{field}' is not valid: {reason}.")
EXISTS: Final = _ngrok(27607, 409, "{what} exists already.")
NOT_FOUND: Final = _ngrok(27611, 404, "{what} not found.")
NOT_IMPLEMENTED: Final = _ngrok(27612, 403, "This gateway sells no credits; providers bill their operator directly.")
METHOD_NOT_ALLOWED: Final = _ngrok(27614, 405, "The method {method} is not allowed here.")
IN_USE: Final = _ngrok(27615, 409, "{reason}")

PROVIDER_ID_LENGTH: Final = _ngrok(27701, 422, "'providerId' must have 1 to 255 characters.")
PROVIDER_NAME_LENGTH: Final = _ngrok(27702, 422, "'name' must have 1 to 255 characters.")
BASE_URL_LENGTH: Final = _ngrok(27703, 422, "'baseUrl' must have 1 to 2048 characters.")
PROVIDER_MEMBER_MISSING: Final = _ngrok(27704, 422, "'{field}' is required.")
PROVIDER_ID_RESERVED: Final = _ngrok(27705, 422, "'{name}' is the name of a built-in provider.")
PROVIDER_METADATA_LONG: Final = _ngrok(27706, 422, "The metadata may have {maximum} characters.")
UNKNOWN_FORMAT: Final = _ngrok(27707, 422, "'{name}' is not an API format; there are: {known}.")
UNKNOWN_SURFACE: Final = _ngrok(27708, 422, "'{name}' is not a surface of the format; there are: {known}.")
MODEL_ID_LENGTH: Final = _ngrok(27709, 422, "'modelId' must have 1 to 255 characters.")
PROVIDER_IN_USE: Final = _ngrok(27710, 409, "{reason}")
MODEL_ID_TWICE: Final = _ngrok(27711, 422, "The model '{name}' is listed twice.")
PROVIDER_ID_TAKEN: Final = _ngrok(27712, 409, "There is a provider '{name}' already.")
PARAM_LENGTH: Final = _ngrok(27714, 422, "A parameter's name must have 1 to 255 characters.")
PARAM_TWICE: Final = _ngrok(27715, 422, "The parameter '{name}' is listed twice.")
PARAMS_TOO_MANY: Final = _ngrok(27716, 422, "At most {maximum} parameters may be listed.")
PARAMS_WITHOUT_SURFACE: Final = _ngrok(27717, 422, "'supportedParams' needs a 'surface'.")
BASE_URL_REFUSED: Final = _ngrok(27718, 422, "The base URL is refused: {reason}.")

INTERNAL: Final = Code("ERR_AIGW_INTERNAL", 500, "Internal error.")
STORE_UNAVAILABLE: Final = Code("ERR_AIGW_STORE", 503, "The store is {trouble}; running traffic is not affected.")
WRONG_HOST: Final = Code("ERR_AIGW_HOST", 421, "The host header does not name this listener.")
MALFORMED: Final = Code("ERR_AIGW_BAD_REQUEST", 400, "The request is malformed.")


class ApiError(Exception):
    """A refusal. ``field`` is the dotted path of the member at fault; ``details`` are added to style A's (CP-20)."""

    def __init__(
        self, code: Code, *, field: str = "", details: Mapping[str, str] | None = None,
        headers: tuple[tuple[str, str], ...] = (), **arguments: object,
    ) -> None:  # fmt: skip
        super().__init__(code.code)
        self.code = code
        self.field = field
        self.details = details or {}
        self.headers = headers
        self.message = code.message.format_map({"field": field, **arguments})

    @property
    def status(self) -> int:
        return self.code.status
