"""``jwt-validation`` over real sockets: forged tokens, rotating keys, storms of unknown ones (TP-321 … TP-326, P31)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from cryptography.hazmat.primitives import serialization

from tests.unit.auth.issuers import document, hmac_token, jwk, private_key, segment, token
from tests.wire.checklist.service import answer
from tests.wire.checklist.stage import Stage, row, staged
from tests.wire.serving import until

POLICY = """
on_http_request:
  - type: jwt-validation
    config:
      issuer: {allow_list: [{value: 'https://issuer.example/'}]}
      audience: {allow_list: [{value: api}]}
      http: {tokens: [{type: access_token, method: header, name: Authorization, prefix: 'Bearer '}]}
      jws:
        allowed_algorithms: [RS256, ES256]
        keys: {sources: {additional_jkus: ['@service@/jwks']}}
  - type: custom-response
    config: {body: "${actions.ngrok.jwt_validation.tokens[0].payload.sub}"}
"""
CLAIMS: dict[str, Any] = {"iss": "https://issuer.example/", "aud": "api", "sub": "ann"}
DAY_S = 86_400


@asynccontextmanager
async def guarded(*keys: dict[str, Any]) -> AsyncIterator[Stage]:
    """A gateway with this policy, and an issuer with these keys."""

    async def nothing(stage: Stage) -> None:
        pass

    async with staged(row(0, POLICY)(nothing), "yaml") as stage:
        publish(stage, *(keys or (jwk("RS256", "k1"), jwk("ES256", "e1"))))
        yield stage


def publish(stage: Stage, *keys: dict[str, Any]) -> None:
    stage.service.answers["/jwks"] = answer(document(*keys), content_type="application/json")


async def verdict(stage: Stage, text: str) -> str:
    """The subject, or the code of the refusal."""
    answered = await stage.ask(authorization=f"Bearer {text}")
    if answered.status == 200:
        return answered.text
    assert answered.code is not None
    if answered.status == 401:
        assert answered.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    return f"{answered.status} {answered.code.removeprefix('ERR_TP_')}"


def fetches(stage: Stage) -> int:
    return len(stage.service.requests)


def public_pem() -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(private_key("RS256").public_key().public_bytes(serialization.Encoding.PEM, form))


def forged(now_s: int) -> dict[str, str]:
    """What must not pass, by what is wrong with it."""
    header, payload, signature = token(CLAIMS).split(".")
    return {
        "none": f"{segment({'alg': 'none', 'kid': 'k1'})}.{payload}.",
        "none, signed": f"{segment({'alg': 'none', 'kid': 'k1'})}.{payload}.{signature}",
        "public key as secret, PEM": hmac_token(CLAIMS, public_pem()),
        "public key as secret, JWK": hmac_token(CLAIMS, json.dumps(jwk("RS256", "k1")).encode()),
        "algorithm that is not allowed": token(CLAIMS, "RS512"),
        "algorithm of another key": token(CLAIMS, "ES256", "k1"),
        "another key": token(CLAIMS, number=1),
        "changed payload": f"{header}.{segment({**CLAIMS, 'sub': 'root'})}.{signature}",
        "expired": token({**CLAIMS, "exp": now_s - 61}),
        "not yet valid": token({**CLAIMS, "nbf": now_s + 70}),
        "issued later": token({**CLAIMS, "iat": now_s + 70}),
        "wrong audience": token({**CLAIMS, "aud": ["other", "API"]}),
        "no audience": token({name: value for name, value in CLAIMS.items() if name != "aud"}),
        "wrong issuer": token({**CLAIMS, "iss": "https://issuer.example"}),
        "no issuer": token({"aud": "api"}),
        "no token": "null",
    }


async def test_forged_tokens_do_not_pass() -> None:
    """TP-321, TP-324: and the good ones do, within the leeway."""
    async with guarded() as stage:
        now_s = int(stage.clock.now())
        verdicts = {name: await verdict(stage, text) for name, text in forged(now_s).items()}
        assert verdicts == dict.fromkeys(verdicts, "401 JWT_INVALID")
        for good in ({}, {"exp": now_s - 50}, {"nbf": now_s + 50}, {"aud": ["x", "api"]}):
            assert await verdict(stage, token({**CLAIMS, **good})) == "ann"
        assert await verdict(stage, token(CLAIMS, "ES256", "e1")) == "ann"
        assert fetches(stage) == 1


async def test_rotated_keys_are_found_at_once_and_old_ones_go() -> None:
    """P31: one early fetch for the new key; the old one is gone with it."""
    async with guarded() as stage:
        old, new = token(CLAIMS), token(CLAIMS, kid="k2", number=1)
        assert await verdict(stage, old) == "ann"
        publish(stage, jwk("RS256", "k1"), jwk("RS256", "k2", number=1))
        assert await verdict(stage, new) == "ann"
        assert await verdict(stage, old) == "ann"
        assert fetches(stage) == 2
        publish(stage, jwk("RS256", "k2", number=1))
        stage.clock.ahead_s = 901.0
        assert await verdict(stage, old) == "ann", "renewed in the background, nobody waits"
        await until(lambda: fetches(stage) == 3)
        await asyncio.sleep(0.05)
        assert await verdict(stage, old) == "401 JWT_INVALID"
        assert await verdict(stage, new) == "ann"


async def test_a_storm_of_unknown_keys_is_one_fetch() -> None:
    """P31: however many tokens name keys that do not exist, at once or in a row; and valid ones pass meanwhile."""
    async with guarded() as stage:
        good = token(CLAIMS)
        assert await verdict(stage, good) == "ann"
        for wave in range(1, 4):
            room = asyncio.Semaphore(50)

            async def one(number: int, room: asyncio.Semaphore = room, wave: int = wave) -> str:
                async with room:
                    return await verdict(stage, f"{segment({'alg': 'RS256', 'kid': f'{wave}-{number}'})}.e30.eA")

            verdicts = await asyncio.gather(*map(one, range(200)))
            assert set(verdicts) == {"401 JWT_INVALID"}
            assert await verdict(stage, good) == "ann"
            assert fetches(stage) == 1 + wave
            stage.clock.ahead_s += 30.0


async def test_the_last_good_keys_stay_for_a_day() -> None:
    """TP-325: an issuer that is down, or says nonsense, changes nothing until then; after that nobody passes."""
    async with guarded() as stage:
        good = token(CLAIMS)
        assert await verdict(stage, good) == "ann"
        for broken in (answer(status=500), answer("{}"), answer("nonsense"), answer(document())):
            stage.service.answers["/jwks"] = broken
            stage.clock.ahead_s += 1_000.0
            assert await verdict(stage, good) == "ann"
        stage.clock.ahead_s = DAY_S + 10.0
        assert await verdict(stage, good) == "503 JWKS_UNAVAILABLE"
        publish(stage, jwk("RS256", "k1"))
        stage.clock.ahead_s += 10.0
        assert await verdict(stage, good) == "ann"


async def test_documents_that_are_too_large_are_no_keys() -> None:
    """TP-325."""
    async with guarded() as stage:
        padded = document(jwk("RS256", "k1"))[:-1] + b', "x": "' + b"x" * (1 << 20) + b'"}'
        stage.service.answers["/jwks"] = answer(padded)
        assert await verdict(stage, token(CLAIMS)) == "503 JWKS_UNAVAILABLE"


async def test_two_header_lines_are_invalid() -> None:
    """TP-322: which of them counts nobody could say."""
    async with guarded() as stage:
        good = token(CLAIMS)
        answered = await stage.ask("/x", [("authorization", f"Bearer {good}"), ("authorization", f"Bearer {good}")])
        assert answered.code == "ERR_TP_JWT_INVALID"
