"""``jwt-validation``: JSON Web Tokens signed by one of some issuers (TP 8.6)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar
from urllib.parse import urlsplit

from gateway.auth.jwks import JwksCache, JwksUnavailableError
from gateway.auth.token_sources import (
    FORM,
    JSON,
    METHODS_WITH_BODY,
    AmbiguousTokenError,
    token_in_body,
    token_in_header,
)
from gateway.auth.web_tokens import (
    ALGORITHMS,
    ClaimRules,
    Token,
    TokenError,
    check_algorithm,
    check_claims,
    parse_token,
    signature_verifies,
)
from gateway.cel.env import BOOL, DYN, STRING, CelType, list_of, map_of, nullable, object_of
from gateway.document import Node
from gateway.errors import INTERPOLATION_FAILED, JWKS_UNAVAILABLE, JWT_INVALID, JWT_MISSING, GatewayError, failure
from gateway.policy.action import ActionError, ActionSpec, CompiledAction, CompileDeps, Refuse, maybe
from gateway.policy.body import request_body
from gateway.policy.fields import Interpolated, interpolated, policy_reader
from gateway.policy.http_views import ContentType
from gateway.policy.model import Phase
from gateway.schema import shapes
from gateway.schema.shapes import Invalid, JsonSchema, Reader, Shape, enum, field, one_of, record, then

if TYPE_CHECKING:
    from gateway.exchange import Exchange

T = TypeVar("T")
MAX_SOURCES = 100
#: keys tried for a token without 'kid'
_MAX_TRIES = 16
#: bodies longer than this are parsed off the event loop
_LARGE_BODY_BYTES = 262_144
_NO_ISSUER, _NO_ALGORITHM, _BAD_ALGORITHM, _NO_TOKEN = (f"ERR_NGROK_{n}" for n in (7172, 7176, 7177, 7178))
_NO_KEYS, _BAD_URL, _TOO_MANY_SOURCES = (f"ERR_NGROK_{n}" for n in (7184, 7185, 7193))
_TWICE = {"issuer": 7187, "audience": 7188, "token": 7189, "algorithm": 7190, "jku": 7191, "claim": 7192}
_TYPES = ("jwt", "access_token", "id_token", "at+jwt", "it+jwt", "plain")
_LOCAL_HOSTS = frozenset(("localhost", "127.0.0.1", "::1"))

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """One entry of ``http.tokens``. ``type`` is only a hint (TP-324)."""

    type: str
    method: str
    name: Interpolated
    prefix: Interpolated


@dataclass(frozen=True, slots=True)
class Config:
    issuers: tuple[Interpolated, ...]
    audiences: tuple[Interpolated, ...] | None
    tokens: tuple[TokenPlace, ...]
    algorithms: tuple[str, ...]
    jkus: tuple[Interpolated, ...]
    require_exp: bool = False
    max_body_bytes: int = 32 << 20


class ShownToken:
    """An entry of ``actions.ngrok.jwt_validation.tokens`` (TP-327)."""

    __slots__ = ("header", "location", "location_property", "payload", "signature", "verified")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "header": map_of(DYN), "payload": map_of(DYN), "location": STRING, "location_property": STRING,
        "signature": STRING, "verified": BOOL,
    }  # fmt: skip

    def __init__(self, token: Token, location: str, location_property: str) -> None:
        self.header = token.header
        self.payload = token.payload
        self.signature = token.signature_text
        self.location = location
        self.location_property = location_property
        self.verified = False


class Result:
    """``actions.ngrok.jwt_validation``. Indexes and payload members that are not there give null (TP-80 d)."""

    __slots__ = ("error", "tokens")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "tokens": list_of(object_of(ShownToken), lookup=True), "error": nullable(object_of(ActionError)),
    }  # fmt: skip

    def __init__(self) -> None:
        self.tokens: list[ShownToken] = []
        self.error: ActionError | None = None


# ---- configuration ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Coded(Generic[T]):
    """A shape whose problems carry codes of this action's own (TP 10.3)."""

    shape: Shape[T]
    codes: Mapping[str, str]

    def read(self, node: Node, reader: Reader) -> T | Invalid:
        before = reader.codes
        reader.codes = replace(before, **self.codes)
        try:
            return self.shape.read(node, reader)
        finally:
            reader.codes = before

    def json_schema(self) -> JsonSchema:
        return self.shape.json_schema()


def _own_identity(value: object) -> object:
    """Literal texts must not repeat; what is interpolated is compared by nothing but itself."""
    literal = getattr(value, "literal", None)
    return id(value) if literal is None else literal


def _allow_list(what: str, empty_code: str) -> Shape[tuple[Interpolated, ...]]:
    """``{allow_list: [{value: …}]}``."""
    entry = record(lambda value: value, value=field(interpolated(minimum=1), doc="compared exactly"))
    entries = shapes.list_of(entry, minimum=1, unique=_own_identity, duplicate_code=f"ERR_NGROK_{_TWICE[what]}")
    listed = field(_Coded(entries, {"empty": empty_code}), missing_code=empty_code)
    return record(lambda allow_list: allow_list, allow_list=listed)


def url_is_allowed(url: str) -> bool:
    """TP-325: ``https``, or ``http`` to a loopback or ``.internal`` host."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError:
        return False
    if not host or parts.username is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and (host in _LOCAL_HOSTS or host.endswith(".internal")))


def _jku(url: Interpolated, node: Node, reader: Reader) -> Interpolated | Invalid:
    if url.literal is not None and not url_is_allowed(url.literal):
        words = "must be an https URL (http only to a loopback or .internal host)"
        return reader.error(node, _BAD_URL, words)
    return url


def _flat(groups: Sequence[Sequence[Interpolated]]) -> tuple[Interpolated, ...]:
    return tuple(entry for group in groups for entry in group)


def _one_or_list(shape: Shape[tuple[Interpolated, ...]]) -> Shape[tuple[Interpolated, ...]]:
    """A mapping, or a list of such mappings, as one sequence (TP-320)."""
    several = then(shapes.list_of(shape, minimum=1), lambda groups, node, reader: _flat(groups))
    return _Coded(one_of(mapping=shape, sequence=several), {"empty": _NO_KEYS})


def _keys_shape() -> Shape[tuple[Interpolated, ...]]:
    claims = shapes.list_of(
        enum("kid"), unique=lambda claim: claim, duplicate_code=f"ERR_NGROK_{_TWICE['claim']}"
    )  # fmt: skip
    naming = record(lambda token_claims: (), token_claims=field(claims, (), doc="only 'kid'"))
    identification = field(one_of(mapping=naming, sequence=shapes.list_of(naming)), (), doc="how a key is found")
    jkus = shapes.list_of(then(interpolated(minimum=1), _jku), minimum=1)
    sources = record(
        lambda additional_jkus, identification: additional_jkus,
        additional_jkus=field(_Coded(jkus, {"empty": _NO_KEYS}), missing_code=_NO_KEYS, doc="URLs of JWKS documents"),
        identification=identification,
    )
    keys = record(
        lambda sources, identification: sources,
        sources=field(_one_or_list(sources), missing_code=_NO_KEYS),
        identification=identification,
    )
    return then(_one_or_list(keys), _unique_sources)


def _unique_sources(urls: tuple[Interpolated, ...], node: Node, reader: Reader) -> tuple[Interpolated, ...] | Invalid:
    if len(urls) > MAX_SOURCES:
        return reader.error(node, _TOO_MANY_SOURCES, f"must have at most {MAX_SOURCES} sources, has {len(urls)}")
    literals = [url.literal for url in urls if url.literal is not None]
    if len(set(literals)) < len(literals):
        return reader.error(node, f"ERR_NGROK_{_TWICE['jku']}", "a URL is listed twice")
    return urls


def _place_identity(place: TokenPlace) -> object:
    name = place.name.literal
    return (place.method, name.lower()) if name is not None else id(place)


def _http_shape() -> Shape[tuple[TokenPlace, ...]]:
    token = record(
        TokenPlace,
        type=field(enum(*_TYPES), doc="a hint"),
        method=field(enum("header", "body"), doc="where the token is"),
        name=field(interpolated(minimum=1), doc="header, or field of a JSON or form body"),
        prefix=field(interpolated(), Interpolated.constant(""), doc="stands before the token, like 'Bearer '"),
    )
    tokens = shapes.list_of(
        token, minimum=1, unique=_place_identity, duplicate_code=f"ERR_NGROK_{_TWICE['token']}"
    )  # fmt: skip
    listed = field(_Coded(tokens, {"empty": _NO_TOKEN}), missing_code=_NO_TOKEN)
    return record(lambda tokens: tokens, tokens=listed)


def _jws_shape() -> Shape[tuple[tuple[str, ...], tuple[Interpolated, ...]]]:
    algorithms = shapes.list_of(
        enum(*ALGORITHMS), minimum=1, unique=lambda name: name, duplicate_code=f"ERR_NGROK_{_TWICE['algorithm']}"
    )
    codes = {"empty": _NO_ALGORITHM, "not_allowed": _BAD_ALGORITHM}
    return record(
        lambda allowed_algorithms, keys: (allowed_algorithms, keys),
        allowed_algorithms=field(_Coded(algorithms, codes), missing_code=_NO_ALGORITHM, doc="asymmetric ones only"),
        keys=field(_keys_shape(), missing_code=_NO_KEYS),
    )


def _with_options(config: Config, node: Node, reader: Reader) -> Config:
    options = policy_reader(reader).options
    return replace(config, require_exp=options.jwt_require_exp, max_body_bytes=options.max_buffered_body_bytes)


# ---- running ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Demand:
    """The configuration with everything interpolated evaluated (TP-111)."""

    rules: ClaimRules
    jkus: tuple[str, ...]
    places: tuple[tuple[str, str, str], ...]


class _Validation:
    """Runs the action; one per occurrence of it."""

    def __init__(self, config: Config, deps: CompileDeps) -> None:
        self.config = config
        self.cache: JwksCache | None = deps.services.get(JwksCache)
        self.now = deps.clock.now
        #: issuers whose tokens without ``exp`` were reported (section 13)
        self.reported: set[str] = set()

    async def run(self, exchange: Exchange) -> Refuse | None:
        demand = self.demand(exchange)
        result = exchange.results["jwt_validation"] = Result()
        error = await self.refusal(exchange, demand, result)
        if error is None:
            return None
        result.error = ActionError.of(error)
        return Refuse(error)

    def demand(self, exchange: Exchange) -> _Demand:
        config = self.config
        issuers = frozenset(issuer.text(exchange) for issuer in config.issuers)
        audiences = config.audiences
        allowed = None if audiences is None else frozenset(audience.text(exchange) for audience in audiences)
        jkus = tuple(url.text(exchange) for url in config.jkus)
        if not all(map(url_is_allowed, jkus)):
            raise GatewayError(INTERPOLATION_FAILED, cause="jwt-validation: a JWKS URL is not https")
        places = tuple(
            (place.method, place.name.text(exchange), place.prefix.text(exchange)) for place in config.tokens
        )
        return _Demand(ClaimRules(issuers, allowed, config.require_exp), jkus, places)

    async def refusal(self, exchange: Exchange, demand: _Demand, result: Result) -> GatewayError | None:
        """Why the request is refused; None if every token is there and valid (TP-323)."""
        accepted: list[str] = []
        try:
            texts = [await self.text(exchange, place) for place in demand.places]
            if None in texts:
                return GatewayError(JWT_MISSING, headers=(("www-authenticate", "Bearer"),))
            for text, (method, name, _) in zip(texts, demand.places, strict=True):
                token = parse_token(text or "")
                shown = ShownToken(token, method, name)
                result.tokens.append(shown)
                await self.check(token, demand)
                shown.verified = True
                accepted.append(text or "")
        except (TokenError, AmbiguousTokenError) as error:
            challenge = (("www-authenticate", 'Bearer error="invalid_token"'),)
            return GatewayError(JWT_INVALID, headers=challenge, cause=f"jwt-validation: {error}")
        except JwksUnavailableError:
            return failure(JWKS_UNAVAILABLE)
        exchange.consumed_tokens |= {*accepted}
        return None

    async def text(self, exchange: Exchange, place: tuple[str, str, str]) -> str | None:
        """The token as sent (TP-322)."""
        method, name, prefix = place
        if method == "header":
            return token_in_header(exchange.headers.get(name.lower()), prefix)
        media_type = ContentType.of(exchange.headers)
        if exchange.method not in METHODS_WITH_BODY or media_type not in (JSON, FORM):
            return None
        body = await request_body(exchange, self.config.max_body_bytes)
        if len(body) > _LARGE_BODY_BYTES:
            return await asyncio.to_thread(token_in_body, body, media_type, name, prefix)
        return token_in_body(body, media_type, name, prefix)

    async def check(self, token: Token, demand: _Demand) -> None:
        """Signature and claims (TP-324); raises TokenError or JwksUnavailableError."""
        check_algorithm(token, self.config.algorithms)
        if self.cache is None:
            raise JwksUnavailableError
        keys = await self.cache.find(demand.jkus, token.kid, token.algorithm)
        if not any(signature_verifies(token, key) for key in keys[:_MAX_TRIES]):
            raise TokenError("no key verifies the signature")
        check_claims(token.payload, demand.rules, self.now())
        if "exp" not in token.payload:
            self.report(str(token.payload["iss"]))

    def report(self, issuer: str) -> None:
        """Tokens that never expire are accepted, but not silently: once per issuer, which is one of the policy's."""
        if issuer not in self.reported and len(self.reported) < MAX_SOURCES:
            self.reported.add(issuer)
            log.warning("issuer %s signs tokens without exp; policy.jwt_require_exp would refuse them", issuer)


def compile_jwt_validation(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-322 to TP-327."""
    return CompiledAction("jwt-validation", _Validation(config, deps).run, is_async=True)


def _build(
    *, issuer: tuple[Interpolated, ...], audience: tuple[Interpolated, ...] | None, http: tuple[TokenPlace, ...],
    jws: tuple[tuple[str, ...], tuple[Interpolated, ...]],
) -> Config:  # fmt: skip
    algorithms, jkus = jws
    return Config(issuer, audience, http, algorithms, jkus)


SPEC = ActionSpec(
    type="jwt-validation",
    phases=frozenset((Phase.REQUEST,)),
    shape=then(
        record(
            _build,
            issuer=field(_allow_list("issuer", _NO_ISSUER), missing_code=_NO_ISSUER, doc="allowed values of 'iss'"),
            audience=field(_allow_list("audience", "ERR_NGROK_2223"), None, doc="allowed values of 'aud'"),
            http=field(_http_shape(), missing_code=_NO_TOKEN, doc="where the tokens are; each must be there and valid"),
            jws=field(_jws_shape(), missing_code=_NO_ALGORITHM, doc="algorithms and where the public keys are"),
        ),
        _with_options,
    ),
    compile=compile_jwt_validation,
    terminates=maybe,
    result=Result,
    guards=True,
    doc="Lets a request pass only with valid JSON Web Tokens.",
)
