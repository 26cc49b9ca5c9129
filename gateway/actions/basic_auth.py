"""``basic-auth``: user names and passwords (TP 8.11)."""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from hashlib import sha256
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from gateway.cel.env import BOOL, STRING, CelType, nullable, object_of
from gateway.cel.template import compile_template
from gateway.cel.tolerance import find_end
from gateway.document import Kind, Node
from gateway.errors import BASIC_AUTH_REFUSED, INTERPOLATION_FAILED, GatewayError
from gateway.policy.action import ActionSpec, CompiledAction, CompileDeps, Refuse, maybe
from gateway.policy.fields import Interpolated, PolicyReader, compile_interpolated, policy_reader
from gateway.policy.model import Phase
from gateway.schema.shapes import (
    INVALID,
    Invalid,
    JsonSchema,
    Reader,
    boolean,
    field,
    list_of,
    record,
    text,
    wrong_type,
)

if TYPE_CHECKING:
    from gateway.exchange import Exchange

SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 128
_BAD_USER = "ERR_NGROK_2257"
_BAD_PASSWORD = "ERR_NGROK_2258"  # noqa: S105 - a code of the error table
_SCHEME = "basic "

log = logging.getLogger(__name__)

#: gives (user, password) for an exchange
Pair: TypeAlias = "Callable[[Exchange], tuple[str, str]]"


@dataclass(frozen=True, slots=True)
class Credential:
    """One entry. ``digest`` is empty unless both parts are known at load."""

    pair: Pair
    place: str
    digest: bytes = attribute(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Config:
    credentials: tuple[Credential, ...]
    realm: str
    enforce: bool


class Presented:
    """``credentials`` of the result (TP-413)."""

    __slots__ = ("authorized", "presented", "username")
    __cel__: ClassVar[Mapping[str, CelType]] = {"presented": BOOL, "username": STRING, "authorized": BOOL}

    def __init__(self, *, presented: bool, username: str, authorized: bool) -> None:
        self.presented = presented
        self.username = username
        self.authorized = authorized


class Result:
    """``actions.ngrok.basic_auth``."""

    __slots__ = ("credentials",)
    __cel__: ClassVar[Mapping[str, CelType]] = {"credentials": nullable(object_of(Presented))}

    def __init__(self, credentials: Presented) -> None:
        self.credentials = credentials


def literal_colons(source: str) -> list[int]:
    """Offsets of the colons outside ``${…}``: ``a${x ? 1 : 2}:b`` → ``[14]``."""
    found: list[int] = []
    position = 0
    while position < len(source):
        if source.startswith("$${", position):
            position += 3
        elif source.startswith("${", position):
            end = find_end(source, position + 2)
            position = len(source) if end < 0 else end + 1
        else:
            if source[position] == ":":
                found.append(position)
            position += 1
    return found


class _CredentialShape:
    """``user:password``, interpolated (TP-410, TP-411), or ``{username, password}``."""

    def read(self, node: Node, reader: Reader) -> Credential | Invalid:
        if node.kind is Kind.MAPPING:
            return self.mapping(node, policy_reader(reader))
        if node.kind is not Kind.STRING:
            return wrong_type(node, reader, "a string such as 'user:password'")
        return self.string(node, policy_reader(reader))

    def string(self, node: Node, reader: PolicyReader) -> Credential | Invalid:
        source = str(node.value)
        whole = compile_interpolated(source, node, reader)
        if isinstance(whole, Invalid):
            return INVALID
        colons = literal_colons(source)
        if whole.literal is not None:
            return (
                self.constant(*whole.literal.partition(":")[::2], node, reader)
                if colons
                else self.no_colon(node, reader)
            )
        if not colons:
            entire = source.startswith("${") and find_end(source, 2) == len(source) - 1
            return Credential(_split_at_run_time(whole), whole.place) if entire else self.no_colon(node, reader)
        user = self.part(source[: colons[0]], whole.place, reader)
        password = self.part(source[colons[0] + 1 :], whole.place, reader)
        return Credential(_joined(user, password, len(colons) - 1), whole.place)

    def no_colon(self, node: Node, reader: PolicyReader) -> Invalid:
        words = "must be 'user:password' with a colon outside '${…}', or one '${…}' that gives both"
        return reader.error(node, reader.codes.bad_value, words)

    def part(self, source: str, place: str, reader: PolicyReader) -> Interpolated:
        """Half of an entry that compiled as a whole."""
        template = compile_template(source, reader.environment)
        return Interpolated(template.literal, None if template.literal is not None else template, place)

    def constant(self, user: str, password: str, node: Node, reader: PolicyReader) -> Credential | Invalid:
        """Both halves are literal: their lengths are checked now (TP-414)."""
        if not user:
            return reader.error(node, _BAD_USER, "the user name must not be empty")
        if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
            words = f"the password must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters"
            return reader.error(node, _BAD_PASSWORD, words)
        return Credential(lambda exchange: (user, password), reader.place(node), _digest(user, password))

    def mapping(self, node: Node, reader: PolicyReader) -> Credential | Invalid:
        pair = _MAPPING.read(node, reader)
        if isinstance(pair, Invalid):
            return INVALID
        user, password = pair
        if user.literal is not None and ":" in user.literal:
            return reader.error(node.get("username") or node, _BAD_USER, "the user name must not contain a colon")
        if user.literal is not None and password.literal is not None:
            return self.constant(user.literal, password.literal, node, reader)
        return Credential(_joined(user, password, None), reader.place(node))

    def json_schema(self) -> JsonSchema:
        return {"anyOf": [{"type": "string"}, _MAPPING.json_schema()]}


class _Part:
    """An interpolated string of the mapping form."""

    def read(self, node: Node, reader: Reader) -> Interpolated | Invalid:
        if node.kind is not Kind.STRING:
            return wrong_type(node, reader, "a string")
        return compile_interpolated(str(node.value), node, policy_reader(reader))

    def json_schema(self) -> JsonSchema:
        return {"type": "string"}


_MAPPING = record(lambda username, password: (username, password), username=field(_Part()), password=field(_Part()))


def _bad_entry(place: str, words: str) -> GatewayError:
    return GatewayError(INTERPOLATION_FAILED, cause=f"{place}: {words}")


def _split_at_run_time(whole: Interpolated) -> Pair:
    def pair(exchange: Exchange) -> tuple[str, str]:
        user, colon, password = whole.text(exchange).partition(":")
        if not colon:
            raise _bad_entry(whole.place, "the value has no colon between user name and password")
        return user, password

    return pair


def _joined(user: Interpolated, password: Interpolated, colons: int | None) -> Pair:
    """``colons``: how many the password's literal text has; None where they cannot be mistaken (mapping form)."""

    def pair(exchange: Exchange) -> tuple[str, str]:
        name, word = user.text(exchange), password.text(exchange)
        if ":" in name or (colons is not None and word.count(":") != colons):
            raise _bad_entry(user.place, "an interpolated part contains a colon")
        return name, word

    return pair


def _digest(user: str, password: str) -> bytes:
    """Digests are compared, so that not even the length of a password shows in the time it takes."""
    return sha256(f"{user}:{password}".encode("utf-8", "surrogateescape")).digest()


def presented_credentials(values: list[str] | None) -> tuple[str, str] | None:
    """(user, password) of an ``authorization`` header; None if there is no single well-formed one (TP-412)."""
    if values is None or len(values) != 1 or values[0][:6].lower() != _SCHEME:
        return None
    try:
        decoded = base64.b64decode(values[0][6:].strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    user, colon, password = decoded.partition(":")
    return (user, password) if colon else None


def compile_basic_auth(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-412 to TP-414: every entry is compared, whether or not one before it matched."""
    expected = tuple(_expected(credential) for credential in config.credentials)
    realm = config.realm.replace("\\", "\\\\").replace('"', '\\"')
    challenge = (("www-authenticate", f'Basic realm="{realm}"'),)
    enforce = config.enforce

    def run(exchange: Exchange) -> Refuse | None:
        presented = presented_credentials(exchange.headers.get("authorization"))
        digests = [entry(exchange) for entry in expected]
        shown = _digest(*presented) if presented is not None else b""
        matches = [hmac.compare_digest(digest, shown) for digest in digests]
        authorized = presented is not None and any(matches)
        name = presented[0] if presented is not None else ""
        exchange.results["basic_auth"] = Result(
            Presented(presented=presented is not None, username=name, authorized=authorized)
        )
        if authorized:
            exchange.consumed_tokens |= {exchange.headers["authorization"][0][6:].strip()}
            return None
        return Refuse(GatewayError(BASIC_AUTH_REFUSED, headers=challenge)) if enforce else None

    return CompiledAction("basic-auth", run)


def _expected(credential: Credential) -> Callable[[Exchange], bytes]:
    """Gives the digest of an entry; an empty one, which nothing equals, if its password has a wrong length (TP-414)."""
    if credential.digest:
        return lambda exchange: credential.digest
    reported = False

    def evaluated(exchange: Exchange) -> bytes:
        nonlocal reported
        user, password = credential.pair(exchange)
        if user and SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
            return _digest(user, password)
        if not reported:
            reported = True
            log.warning("basic-auth entry at %s never matches: its password has a wrong length", credential.place)
        return b""

    return evaluated


SPEC = ActionSpec(
    type="basic-auth",
    phases=frozenset((Phase.REQUEST,)),
    shape=record(
        Config,
        credentials=field(list_of(_CredentialShape(), minimum=1, maximum=10), doc="'user:password', 1 to 10"),
        realm=field(
            text(maximum=128, pattern="[ -~]*", hint="must be printable ASCII"), "ngrok", doc="shown by browsers"
        ),
        enforce=field(boolean(), True, doc="false: check, but let the request pass"),
    ),
    compile=compile_basic_auth,
    terminates=maybe,
    result=Result,
    guards=True,
    doc="Asks for a user name and a password.",
)
