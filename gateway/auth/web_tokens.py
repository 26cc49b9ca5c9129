"""JSON Web Tokens: taking one apart, checking its signature and its claims (TP-321, TP-324). Pure.

Only asymmetric signatures: keys come from public documents, so an ``HS256`` token would be signed with a public key.

Invariants
    1. A token is trusted only if its ``alg`` is allowed *and* fits the key's type, curve and declared algorithm.
    2. Every reason for refusing is a ``TokenError`` whose text quotes nothing of the token.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from jwt.algorithms import get_default_algorithms
from jwt.exceptions import InvalidKeyError

LEEWAY_S = 60.0
MAX_TOKEN_BYTES = 65_536
MIN_RSA_BITS = 2_048
_SEGMENT = re.compile(r"[A-Za-z0-9_-]*")

#: algorithm → (key type, curves; none for RSA)
_KEY_TYPES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", ())),
    "ES256": ("EC", ("P-256",)),
    "ES384": ("EC", ("P-384",)),
    "ES512": ("EC", ("P-521",)),
    "EdDSA": ("OKP", ("Ed25519", "Ed448")),
}
ALGORITHMS: tuple[str, ...] = tuple(_KEY_TYPES)
_FAMILIES = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}


class TokenError(ValueError):
    """The token is not acceptable; the text says why and goes to the log only (TP-326)."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key of a JWKS document. ``key`` is the library's key object; ``alg`` is empty if the key does not say."""

    kid: str | None
    kty: str
    crv: str
    alg: str
    key: Any

    def fits(self, algorithm: str) -> bool:
        """Type, curve and declared algorithm agree with a token's ``alg`` (TP-321)."""
        kty, curves = _KEY_TYPES[algorithm]
        return self.kty == kty and (not curves or self.crv in curves) and self.alg in ("", algorithm)


def parse_key(jwk: object) -> PublicKey | None:
    """A key that can verify signatures; None for any other, which is skipped."""
    if not isinstance(jwk, dict) or jwk.get("kty") not in _FAMILIES:
        return None
    operations = jwk.get("key_ops")
    if jwk.get("use", "sig") != "sig" or (isinstance(operations, list) and "verify" not in operations):
        return None
    if "d" in jwk:  # a private key in a public document helps nobody
        return None
    kid, alg, crv = jwk.get("kid"), jwk.get("alg", ""), jwk.get("crv", "")
    if not (kid is None or isinstance(kid, str)) or not isinstance(alg, str) or not isinstance(crv, str):
        return None
    try:
        key = get_default_algorithms()[_FAMILIES[jwk["kty"]]].from_jwk(jwk)
    except (InvalidKeyError, ValueError, TypeError, KeyError, AttributeError):
        return None
    if jwk["kty"] == "RSA" and key.key_size < MIN_RSA_BITS:
        return None
    return PublicKey(kid, jwk["kty"], crv, alg, key)


@dataclass(frozen=True, slots=True)
class Token:
    """A token taken apart; nothing in it is trusted yet. ``signature_text`` is base64url."""

    header: dict[str, Any]
    payload: dict[str, Any]
    signature_text: str
    signed: bytes
    signature: bytes

    @property
    def algorithm(self) -> str:
        return str(self.header["alg"])

    @property
    def kid(self) -> str | None:
        return self.header.get("kid")


def parse_token(text: str) -> Token:
    """``header.payload.signature`` in base64url; raises TokenError."""
    if len(text) > MAX_TOKEN_BYTES:
        raise TokenError("too long")
    parts = text.split(".")
    if len(parts) != 3:
        raise TokenError("not three parts")
    header, payload = _json_object(parts[0], "header"), _json_object(parts[1], "payload")
    if not isinstance(header.get("alg"), str):
        raise TokenError("no algorithm")
    if "crit" in header or header.get("b64", True) is not True:
        raise TokenError("critical extensions are not supported")
    if not isinstance(header.get("kid"), str | None):
        raise TokenError("kid is not a string")
    signed = f"{parts[0]}.{parts[1]}".encode("ascii")
    return Token(header, payload, parts[2], signed, _decode(parts[2], "signature"))


def _decode(segment: str, name: str) -> bytes:
    if _SEGMENT.fullmatch(segment) is None:
        raise TokenError(f"{name} is not base64url")
    try:
        return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise TokenError(f"{name} is not base64url") from None


def _json_object(segment: str, name: str) -> dict[str, Any]:
    try:
        value = json.loads(_decode(segment, name))
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, TokenError) else TokenError(f"{name} is not JSON") from None
    if not isinstance(value, dict):
        raise TokenError(f"{name} is not an object")
    return value


def check_algorithm(token: Token, allowed: Collection[str]) -> None:
    """The header's ``alg`` is one of the policy's, exactly; never ``none`` and never symmetric."""
    if token.algorithm not in allowed or token.algorithm not in _KEY_TYPES:
        raise TokenError("algorithm is not allowed")


def signature_verifies(token: Token, key: PublicKey) -> bool:
    """Whether a key that fits made the signature."""
    if not key.fits(token.algorithm):
        return False
    try:
        return bool(get_default_algorithms()[token.algorithm].verify(token.signed, key.key, token.signature))
    except (InvalidKeyError, ValueError, TypeError):
        return False


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """``audiences`` is None when the policy does not look at them."""

    issuers: frozenset[str]
    audiences: frozenset[str] | None
    require_exp: bool = False


def check_claims(payload: Mapping[str, Any], rules: ClaimRules, now_s: float) -> None:
    """TP-324; raises TokenError. ``now_s`` is Unix time."""
    issuer = payload.get("iss")
    if not isinstance(issuer, str) or issuer not in rules.issuers:
        raise TokenError("issuer is not allowed")
    if rules.audiences is not None:
        audience = payload.get("aud")
        named = [audience] if isinstance(audience, str) else audience
        if not isinstance(named, list) or not any(isinstance(one, str) and one in rules.audiences for one in named):
            raise TokenError("audience is not allowed")
    expires = _time(payload, "exp")
    if expires is None and rules.require_exp:
        raise TokenError("no exp")
    if expires is not None and now_s >= expires + LEEWAY_S:
        raise TokenError("expired")
    for name in ("nbf", "iat"):
        instant = _time(payload, name)
        if instant is not None and instant > now_s + LEEWAY_S:
            raise TokenError(f"{name} lies in the future")


def _time(payload: Mapping[str, Any], name: str) -> float | None:
    value = payload.get(name)
    if value is None and name not in payload:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TokenError(f"{name} is not a number")
    return float(value)
