"""Compiled expressions against the same thing written by hand, as ratios within one run.

    python -m tests.bench.bench_cel

E1 to E6 are the expressions of the CEL study (header compare, membership, path, ten keys, 400 models by catalogue, 400
models by metrics). Budgets: a typed rule (E1 to E3) at most 1 µs, the key filter 1.5 µs, a model filter 2.5 times the
hand-written comprehension. Also: what loading costs.
"""

from __future__ import annotations

import statistics
import sys
import timeit
from collections.abc import Callable, Mapping
from hmac import compare_digest
from typing import Any, ClassVar

from gateway.cel.compile import compile_expression
from gateway.cel.env import (
    DOUBLE,
    DYN,
    HEADER_MAP,
    INT,
    STRING,
    CelType,
    Environment,
    Function,
    ai_list_of,
    map_of,
    nullable,
    object_of,
    sensitive,
)
from gateway.cel.keyed import KnownTexts
from gateway.headers import HeaderMap


class Url(str):
    """A string with members."""

    __slots__ = ("path",)
    __cel__: ClassVar[Mapping[str, CelType]] = {"path": STRING}
    path: str


class Request:
    __slots__ = ("headers", "method", "url")
    __cel__: ClassVar[Mapping[str, CelType]] = {"method": STRING, "headers": HEADER_MAP, "url": object_of(Url)}


class Quota:
    __slots__ = ("remaining_requests",)
    __cel__: ClassVar[Mapping[str, CelType]] = {"remaining_requests": nullable(INT)}


class ErrorRate:
    __slots__ = ("rate_limit", "total")
    __cel__: ClassVar[Mapping[str, CelType]] = {"rate_limit": DOUBLE, "total": DOUBLE}


class Latency:
    __slots__ = ("upstream_ms_avg",)
    __cel__: ClassVar[Mapping[str, CelType]] = {"upstream_ms_avg": INT}


class Metrics:
    __slots__ = ("error_rate", "latency")
    __cel__: ClassVar[Mapping[str, CelType]] = {"latency": object_of(Latency), "error_rate": object_of(ErrorRate)}


class Scopes:
    __slots__ = ("region",)
    __cel__: ClassVar[Mapping[str, CelType]] = {"region": object_of(Metrics)}


class Key:
    __slots__ = ("error_rate", "quota")
    __cel__: ClassVar[Mapping[str, CelType]] = {"quota": object_of(Quota), "error_rate": object_of(ErrorRate)}


class Model:
    __slots__ = ("id", "metrics", "provider_id")
    __cel__: ClassVar[Mapping[str, CelType]] = {"id": STRING, "provider_id": STRING, "metrics": object_of(Scopes)}


class Ai:
    __slots__ = ("keys", "models")
    __cel__: ClassVar[Mapping[str, CelType]] = {"models": ai_list_of(Model), "keys": ai_list_of(Key, undecided=True)}


class Scope:
    __slots__ = ("ai", "req", "secret", "vars")


def filled(host: type, **members: Any) -> Any:
    made = host()
    for name, value in members.items():
        setattr(made, name, value)
    return made


def build_scope() -> Scope:
    url = Url("https://example.com/api/v1/chat")
    url.path = "/api/v1/chat"
    headers = HeaderMap.of([("Authorization", "Bearer secret-token-value"), ("User-Agent", "python")])
    keys = [
        filled(
            Key,
            quota=filled(Quota, remaining_requests=100 * number),
            error_rate=filled(ErrorRate, rate_limit=0.01 * number, total=0.0),
        )
        for number in range(1, 11)
    ]
    models = [
        filled(
            Model,
            id=f"gpt-{number % 6}-{number}",
            provider_id=("openai", "anthropic", "google", "mistral")[number % 4],
            metrics=filled(
                Scopes,
                region=filled(
                    Metrics,
                    latency=filled(Latency, upstream_ms_avg=5 * number),
                    error_rate=filled(ErrorRate, rate_limit=0.0, total=0.0005 * number),
                ),
            ),
        )
        for number in range(400)
    ]
    scope: Scope = filled(
        Scope,
        req=filled(Request, method="POST", headers=headers, url=url),
        # as set-vars gives a list of texts
        vars={"valid_auth_headers": KnownTexts(f"Bearer token-number-{number}" for number in range(20))},
        ai=filled(Ai, models=models, keys=keys),
        secret="secret-token-value",
    )
    return scope


def environment() -> Environment:
    secret = Function(
        "secrets.get", (STRING, STRING), sensitive(STRING), lambda scope, vault, name: scope.secret, scope=True
    )
    variables = {"req": object_of(Request), "vars": map_of(DYN), "ai": object_of(Ai)}
    return Environment(variables, (secret,))


def by_hand(scope: Scope) -> Mapping[str, tuple[str, Callable[[Scope], Any]]]:
    """Expression and the Python that somebody would write for it."""

    def header_compare(s: Any) -> bool:
        values = s.req.headers.get("authorization")
        given = values[0] if values else None
        return given is None or not compare_digest(given, "Bearer " + s.secret)

    def membership(s: Any) -> bool:
        values = s.req.headers.get("authorization")
        return not (values and sum(compare_digest(values[0], other) for other in s.vars["valid_auth_headers"]))

    return {
        "E1 header compare": (
            "req.headers['authorization'][0] != 'Bearer ' + secrets.get('gateway-auth','access-token')",
            header_compare,
        ),
        "E2 in list of 20": ("!(req.headers['authorization'][0] in vars.valid_auth_headers)", membership),
        "E3 path and method": (
            "req.url.path.startsWith('/api/v1/') && req.method == 'POST'",
            lambda s: s.req.url.path.startswith("/api/v1/") and s.req.method == "POST",
        ),
        "E4 filter 10 keys": (
            "ai.keys.filter(k, k.quota.remaining_requests > 500 && k.error_rate.rate_limit < 0.05)",
            lambda s: [k for k in s.ai.keys if k.quota.remaining_requests > 500 and k.error_rate.rate_limit < 0.05],
        ),
        "E5 filter 400 models": (
            "ai.models.filter(m, m.provider_id == 'openai' && m.id.contains('gpt-4'))",
            lambda s: [m for m in s.ai.models if m.provider_id == "openai" and "gpt-4" in m.id],
        ),
        "E6 filter 400, metrics": (
            "ai.models.filter(m, m.metrics.region.latency.upstream_ms_avg < 1000 "
            "&& m.metrics.region.error_rate.total < 0.05)",
            lambda s: [
                m
                for m in s.ai.models
                if m.metrics.region.latency.upstream_ms_avg < 1000 and m.metrics.region.error_rate.total < 0.05
            ],
        ),
    }


def microseconds(call: Callable[[], object]) -> float:
    """Best of several short runs: the machine is shared."""
    timer = timeit.Timer(call)
    number = max(1, int(0.02 / max(timer.timeit(3) / 3, 1e-8)))
    return min(timer.repeat(7, number)) / number * 1e6


def main() -> None:
    scope, names = build_scope(), environment()
    print(f"{sys.version.split()[0]}")
    for title, (source, hand) in by_hand(scope).items():
        evaluate = compile_expression(source, names).evaluate
        assert evaluate(scope) == hand(scope), title
        ours, theirs = microseconds(lambda: evaluate(scope)), microseconds(lambda: hand(scope))  # noqa: B023
        print(f"{title:24} {ours:8.2f} us   by hand {theirs:8.2f} us   ratio {ours / theirs:5.2f}")
    sources = [source for source, _ in by_hand(scope).values()]
    spent = [microseconds(lambda: compile_expression(source, names)) for source in sources]  # noqa: B023
    print(f"{'compile one expression':24} {statistics.mean(spent):8.1f} us")


if __name__ == "__main__":
    main()
