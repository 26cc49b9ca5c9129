"""Issuers for tests: keys of every kind, JWKS documents, and tokens that may be wrong in any way."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Coroutine
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

CURVES: dict[str, ec.EllipticCurve] = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


def private_key(algorithm: str, number: int = 0, bits: int = 2_048) -> Any:
    """The ``number``-th private key for an algorithm; ``RS…`` and ``PS…`` have the same."""
    return _made(algorithm if algorithm in CURVES or algorithm == "EdDSA" else "RSA", number, bits)


@cache
def _made(family: str, number: int, bits: int) -> Any:
    """Keys are made once per run: RSA takes its time."""
    if family in CURVES:
        return ec.generate_private_key(CURVES[family])
    if family == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65_537, key_size=bits)


def jwk(algorithm: str, kid: str | None, number: int = 0, bits: int = 2_048, **members: Any) -> dict[str, Any]:
    """The public half as a member of a JWKS document."""
    public = private_key(algorithm, number, bits).public_key()
    entry: dict[str, Any]
    if algorithm in CURVES:
        entry = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(public))
    elif algorithm == "EdDSA":
        entry = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(public))
    else:
        entry = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(public))
        entry.pop("key_ops", None)
    if kid is not None:
        entry["kid"] = kid
    return entry | members


def document(*keys: dict[str, Any]) -> bytes:
    """A JWKS document."""
    return json.dumps({"keys": list(keys)}).encode()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def segment(value: object) -> str:
    return b64(json.dumps(value).encode())


def token(
    claims: dict[str, Any], algorithm: str = "RS256", kid: str | None = "k1", number: int = 0, bits: int = 2_048,
    **header: Any,
) -> str:  # fmt: skip
    """A properly signed token."""
    headers = ({"kid": kid} if kid is not None else {}) | header
    return jwt.encode(claims, private_key(algorithm, number, bits), algorithm, headers=headers)


def hmac_token(claims: dict[str, Any], key: bytes, kid: str = "k1") -> str:
    """``HS256`` with any bytes as the key: the classic confusion of public key and secret."""
    signed = f"{segment({'alg': 'HS256', 'typ': 'JWT', 'kid': kid})}.{segment(claims)}"
    return f"{signed}.{b64(hmac.new(key, signed.encode(), hashlib.sha256).digest())}"


class Site:
    """JWKS documents by URL; counts how often each is fetched. A missing one fails."""

    def __init__(self, **documents: bytes) -> None:
        self.documents = {url.replace("_", "."): document for url, document in documents.items()}
        self.fetched: list[str] = []
        self.gate: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        if url not in self.documents:
            raise OSError("refused")
        return self.documents[url]

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Runs a coroutine on the side."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
