"""Which credential the client sent, whether it may go upstream, and in which header one goes there.

Invariants
    1. A token in gateway format, or an admin token, is never a passthrough credential (AG-186, AG-195 a).
    2. Values stay inside ``Secret`` until the request head is built.
    3. ``scrub`` leaves neither the given secrets nor any gateway-format token in a text (AG-209).

Source: ai-gateway.md AG-42, AG-185, AG-186, AG-195, AG-205 to AG-210.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from gateway.ai.surfaces import Format
from gateway.errors import INVALID_KEY, failure
from gateway.headers import HeaderMap
from gateway.secrets.secret import MASK, Secret

if TYPE_CHECKING:
    from gateway.ai.entities import Provider

AUTHORIZATION: Final = "authorization"
#: the headers a credential may come in, in the order of AG-185
CREDENTIAL_HEADERS: Final = (AUTHORIZATION, "x-api-key", "api-key", "x-goog-api-key")
_NATIVE_HEADER: Final = {Format.OPENAI: AUTHORIZATION, Format.ANTHROPIC: "x-api-key"}
#: hosts that want ``api-key`` (AG-42)
_AZURE_SUFFIXES: Final = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")

#: every token this product issues, wherever it stands in a text; bounded, so that no text is read twice
_ISSUED_TOKEN: Final = re.compile(r"ng-[A-Za-z0-9_.~+/=-]{0,128}?-[ga]1-[A-Za-z0-9_.~+/=-]{0,256}")
_UNSENDABLE: Final = re.compile(r"[\x00-\x1f\x7f]")


class TokenKind(enum.Enum):
    """Whose token it is."""

    GATEWAY = "gateway"
    ADMIN = "admin"
    #: anything else: meant for a provider
    OTHER = "other"


class ClientCredential:
    """The client's token and the header it came in (AG-185). ``kind`` is GATEWAY or OTHER."""

    __slots__ = ("header", "is_gateway_key", "kind", "token")

    def __init__(self, token: Secret, header: str, kind: TokenKind) -> None:
        self.token = token
        self.header = header
        self.kind = kind
        self.is_gateway_key = kind is TokenKind.GATEWAY

    def __repr__(self) -> str:
        return f"<ClientCredential {self.header} {self.kind.value}>"


class UpstreamCredential:
    """One credential header of an upstream request."""

    __slots__ = ("header", "line", "secret", "server_side")

    def __init__(self, header: str, secret: Secret, *, server_side: bool) -> None:
        """ValueError if the value cannot stand in a header; it is not repeated there."""
        value = secret.reveal().strip()
        if not value or _UNSENDABLE.search(value):
            raise ValueError("the key is empty or contains control characters")
        self.header = header
        self.secret = secret
        #: the operator's, not the client's: account headers are removed (AG-210)
        self.server_side = server_side
        #: the header line, with a line end in front
        self.line = f"\r\n{header}: {'Bearer ' if header == AUTHORIZATION else ''}{value}"

    def __repr__(self) -> str:
        return f"<UpstreamCredential {self.header}>"


class KeyPrefixes:
    """Documented key prefixes of the official providers (AG-195 e): prefix → provider id, longest first."""

    __slots__ = ("_prefixes",)

    def __init__(self, prefixes: Mapping[str, str]) -> None:
        self._prefixes = tuple(sorted(prefixes.items(), key=lambda item: -len(item[0])))

    def owner(self, token: str) -> str | None:
        """The provider that issues tokens like this one; None if no prefix is known."""
        return next((provider for prefix, provider in self._prefixes if token.startswith(prefix)), None)


class PassthroughRules:
    """What keeps one request's own token from going upstream (AG-195). Made once per client request."""

    __slots__ = ("_prefixes", "_token", "consumed", "first_provider")

    def __init__(
        self,
        credential: ClientCredential | None,
        *,
        secrets_seen: Collection[str],
        consumed_tokens: Collection[str],
        prefixes: KeyPrefixes,
    ) -> None:
        self._prefixes = prefixes
        self._token = credential.token.reveal() if credential is not None and not credential.is_gateway_key else ""
        #: rule (b): this request's policy used the token itself
        self.consumed = bool(self._token) and any(
            _without_scheme(value) == self._token for value in (*secrets_seen, *consumed_tokens)
        )
        #: rule (d): the id of the provider that got the token first
        self.first_provider: str | None = None

    def allow(self, provider: Provider) -> bool:
        """Whether the client's token may go to this provider. Rules (a) and (c) hold by construction."""
        if not self._token or self.consumed or token_kind(self._token) is not TokenKind.OTHER:
            return False
        if self.first_provider is not None and self.first_provider != provider.id:
            return False
        owner = self._prefixes.owner(self._token) if provider.official else None
        return owner is None or owner == provider.id

    def used(self, provider: Provider) -> None:
        """The token went to this provider; from now on only to this one."""
        if self.first_provider is None:
            self.first_provider = provider.id


def token_kind(token: str) -> TokenKind:
    """``ng-…-g1-…`` is a gateway key, ``ng-…-a1-…`` an admin token (AG-186)."""
    if token.startswith("ng-"):
        if "-g1-" in token:
            return TokenKind.GATEWAY
        if "-a1-" in token:
            return TokenKind.ADMIN
    return TokenKind.OTHER


def client_credential(headers: HeaderMap, format: Format) -> ClientCredential | None:
    """The client's credential (AG-185), or None.

    Raises 27007 for two different gateway tokens and for an admin token, wherever it stands.
    """
    chosen: ClientCredential | None = None
    native = _NATIVE_HEADER[format]
    for header, token in _tokens(headers):
        kind = token_kind(token)
        if kind is TokenKind.ADMIN:
            raise failure(INVALID_KEY)
        if chosen is None:
            chosen = ClientCredential(Secret(token), header, kind)
        elif kind is TokenKind.GATEWAY:
            if not chosen.is_gateway_key:
                chosen = ClientCredential(Secret(token), header, kind)
            elif chosen.token != token:
                raise failure(INVALID_KEY)
        elif header == native and chosen.header != native and not chosen.is_gateway_key:
            chosen = ClientCredential(Secret(token), header, kind)
    return chosen


def sent_any_credential(headers: HeaderMap) -> bool:
    """Whether any credential header has a value, usable or not (AG-187: 27007 rather than 27201)."""
    return any(value.strip() for name in CREDENTIAL_HEADERS for value in headers.get(name, ()))


def key_header(provider: Provider, format: Format) -> str:
    """The header that a server-side key goes in (AG-42)."""
    if provider.credential_header:
        return provider.credential_header
    if is_azure_host(provider.target.origin.host):
        return "api-key"
    return "x-api-key" if format is Format.ANTHROPIC else AUTHORIZATION


def passthrough_header(provider: Provider, format: Format, client_header: str) -> str:
    """The header that the client's own token goes in: the one it came in, if the target takes it (AG-206)."""
    if provider.credential_header:
        return provider.credential_header
    if client_header == AUTHORIZATION:
        return AUTHORIZATION
    if is_azure_host(provider.target.origin.host):
        return "api-key"
    return "x-api-key" if format is Format.ANTHROPIC else AUTHORIZATION


def is_azure_host(host: str) -> bool:
    return host.endswith(_AZURE_SUFFIXES)


def trim(value: str) -> str:
    """``sk-proj...f3Qx`` (AG-208)."""
    return Secret(value).trimmed()


def scrub(text: str, secrets: Iterable[Secret | str] = ()) -> str:
    """The text with every given secret and every token of this product replaced by ``***`` (AG-209)."""
    for secret in secrets:
        value = secret.reveal() if isinstance(secret, Secret) else secret
        if value and value in text:
            text = text.replace(value, MASK)
        stripped = value.strip()
        if stripped and stripped in text:
            text = text.replace(stripped, MASK)
    return _ISSUED_TOKEN.sub(MASK, text) if holds_issued_token(text) else text


def holds_issued_token(text: str) -> bool:
    """Cheap: whether the text may hold a token of this product."""
    return "-g1-" in text or "-a1-" in text


def _tokens(headers: HeaderMap) -> Iterator[tuple[str, str]]:
    for header in CREDENTIAL_HEADERS:
        values = headers.get(header)
        if values is None:
            continue
        for value in values:
            token = _bearer(value) if header == AUTHORIZATION else _without_scheme(value)
            if token and token.isprintable():  # what could not be sent on is no credential
                yield header, token


def _bearer(value: str) -> str:
    """The token of ``Bearer T``; '' for any other scheme."""
    scheme, _, token = value.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _without_scheme(value: str) -> str:
    return _bearer(value) or value.strip()
