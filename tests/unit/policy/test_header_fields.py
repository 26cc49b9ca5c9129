"""Header names and values in configurations: TP-121, TP-204."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.exchange import Exchange
from gateway.policy.action import ActionSpec, CompiledAction, CompileDeps, Outcome
from gateway.policy.header_fields import compile_headers, header_map
from gateway.policy.model import Phase
from gateway.schema.shapes import field, record
from tests.unit.policy.world import compiled, context, load, report, request, run


def compile_probe(config: dict[str, Any], deps: CompileDeps) -> CompiledAction:
    lines = compile_headers(config["headers"])

    def act(exchange: Exchange) -> Outcome:
        exchange.results["lines"] = lines(exchange)
        return None

    return CompiledAction("probe", act)


HEADERS = header_map(minimum=1, maximum=3, refused=frozenset(("host",)), refused_prefixes=("x-ai-",))
SPEC: ActionSpec[Any] = ActionSpec(
    type="probe", phases=frozenset(Phase), compile=compile_probe, shape=record(dict, headers=field(HEADERS)),
)  # fmt: skip
CONTEXT = context(spec=SPEC)


def policy(headers: str) -> str:
    return f"on_http_request:\n- type: probe\n  config: {{headers: {headers}}}\n"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("{}", ["3:21 error 2223"]),
        ("{a: 1, b: 2, c: 3, d: 4}", ["3:21 error 2218"]),
        ("[a]", ["3:21 error 2203"]),
        ("{'a b': x}", ["3:22 error 2208"]),
        ("{'': x}", ["3:22 error 2208"]),
        ("{'a:b': x}", ["3:22 error 2208"]),
        ("{'ä': x}", ["3:22 error 2208"]),
        ("{" + "a" * 257 + ": x}", ["3:22 error 2209"]),
        ("{Host: x}", ["3:22 error 2219"]),
        ("{X-AI-Gateway-Hop: x}", ["3:22 error 2219"]),
        ("{a: [x]}", ["3:25 error 2203"]),
        ("{a: }", ["3:22 error 2203"]),
        ('{a: "x\\r\\ny"}', ["3:25 error 2210"]),
        ('{a: "x\\0"}', ["3:25 error 2210"]),
        ("{a: '" + "x" * 8_193 + "'}", ["3:25 error 2211"]),
        ("{a: '" + "é" * 4_097 + "'}", ["3:25 error 2211"]),
        ("{X-A: 1, x-a: 2}", ["3:30 error 2231"]),
        (
            "{'a b': \"\\n\", X-A: '${', x-a: 1}",
            ["3:22 error 2208", "3:29 error 2210", "3:41 error 2224", "3:46 error 2231"],
        ),
    ],
)
def test_wrong_headers(headers: str, expected: list[str]) -> None:
    """TP-204, TP-21."""
    assert report(load(policy(headers), CONTEXT)[1]) == expected


@pytest.mark.parametrize(
    ("headers", "lines"),
    [
        ("{X-A: b, x-c: true, x-d: 5}", (("x-a", "b"), ("x-c", "true"), ("x-d", "5"))),
        ('{X-A: "${req.method}", B: x}', (("x-a", "GET"), ("b", "x"))),
        ("{a: ''}", (("a", ""),)),
        ("{a: 'tab\tand é'}", (("a", "tab\tand é"),)),
    ],
)
def test_header_lines(headers: str, lines: Any) -> None:
    """TP-15, TP-204: names in lower case, values interpolated."""
    exchange = request()
    assert run(compiled(policy(headers), with_context=CONTEXT), exchange) is None
    assert exchange.results["lines"] == lines


def test_json_schema() -> None:
    schema = header_map(minimum=1, maximum=10).json_schema()
    assert (schema["type"], schema["minProperties"], schema["maxProperties"]) == ("object", 1, 10)
