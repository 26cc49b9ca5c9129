"""The scope: secrets, variables, results, stream messages. TP-86, TP-146 to TP-149."""

from __future__ import annotations

import pytest

from gateway.policy.model import Phase
from gateway.policy.variables import Scope, StreamMessage, request_changed, response_changed, scope_maker, scope_of
from tests.unit.policy.world import CLOCK, Secrets, compiled, load, refused, report, request, run, value_of


def test_one_scope_per_exchange() -> None:
    exchange = request()
    scope = scope_of(exchange, CLOCK.now)
    assert scope_of(exchange, CLOCK.now) is scope
    assert exchange.scope is scope
    assert (scope.conn, scope.endpoint, scope.actions) == (scope.conn, scope.endpoint, scope.actions)


@pytest.mark.parametrize(
    "reads", [[], ["req.url.path"], ["conn.client_ip", "vars.a"], ["req.url", "conn"], ["connection"]]
)
def test_every_scope_shows_the_same(reads: list[str]) -> None:
    """A policy's rules decide how members are kept, never what they are."""
    exchange = request("/a?b=c", headers=[("content-type", "a/b")])
    scope = scope_maker(reads)(exchange, CLOCK.now)
    exchange.scope = scope
    assert (scope.req.url, scope.req.url.path, scope.conn.client_ip) == (
        "https://gateway.example/a?b=c",
        "/a",
        "203.0.113.7",
    )
    exchange.path = "/new"
    request_changed(exchange)
    assert scope.req.url.path == "/new"
    assert scope.req.content_type == "a/b"
    assert scope.conn is scope.conn


def test_nothing_to_forget() -> None:
    """Changing a request that nobody has looked at costs nothing."""
    exchange = request()
    request_changed(exchange)
    response_changed(exchange)
    assert exchange.scope is None


def test_secrets_are_recorded() -> None:
    """TP-86, TP-426, AG-195 (b)."""
    exchange = request(secrets=Secrets(v={"s": "one", "t": "two"}))
    assert value_of("secrets.get('v', 's') + secrets.get('t')", exchange) == "onetwo"
    assert exchange.secrets_seen == {"one", "two"}


def test_secrets_of_the_gateway_are_its_own() -> None:
    """AG-195 (b), P17: what the ai-gateway action reads is recorded elsewhere."""
    exchange = request(secrets=Secrets(v={"s": "one", "t": "two"}))
    scope = scope_of(exchange, CLOCK.now)
    with scope.private_secrets() as seen:
        assert scope.secret("v", "s") == "one"
    assert scope.secret("v", "t") == "two"
    assert seen == {"one"}
    assert exchange.secrets_seen == {"two"}


@pytest.mark.parametrize(
    "expression", ["secrets.get('v', 'none')", "secrets.get('none', 's')", "secrets.get('none')", "secrets.get('both')"]
)
def test_missing_secrets_are_errors(expression: str) -> None:
    """TP-86, TP-603."""
    exchange = request(secrets=Secrets(v={"s": "one", "both": "a"}, w={"both": "b"}))
    text = f'on_http_request:\n- expressions: ["{expression} == null"]\n  type: deny\n'
    assert refused(run(compiled(text), exchange)) == "ERR_NGROK_2254"
    assert exchange.secrets_seen == set()


def test_the_message_in_flight() -> None:
    """TP-148."""
    exchange = request()
    scope_of(exchange, CLOCK.now).sse = StreamMessage(3, "a\nb", "delta")
    found = {
        name: value_of(f"sse.{name}", exchange, Phase.STREAM) for name in ("data", "event", "id", "retry", "index")
    }
    assert found == {"data": "a\nb", "event": "delta", "id": "", "retry": None, "index": 3}
    for phase in (Phase.REQUEST, Phase.RESPONSE, Phase.TCP):
        _, problems = load(
            f"{phase}:\n- expressions: [sse.data == 'a']\n  type: set-vars\n  config: {{vars: [{{a: 1}}]}}\n"
        )
        assert report(problems) == ["2:17 error 2200"]


def test_results_of_actions() -> None:
    """TP-80 (d), TP-147: absent until the action ran; only documented names."""
    exchange = request()
    assert value_of("actions.ngrok.log.metadata.a", exchange) is None
    assert value_of("actions.ngrok.log == null", exchange) is True
    text = "on_http_request:\n- {type: log, config: {metadata: {a: 1}}}\n- {type: log, config: {metadata: {a: 2}}}\n"
    assert run(compiled(text), exchange) is None
    assert value_of("actions.ngrok.log.metadata.a", exchange) == 2
    for name in ("actions.ngrok.log.mtadata", "actions.ngrok.deny", "actions.other", "actions.ngrok.rate_limits"):
        _, problems = load(f"on_http_request:\n- expressions: ['{name} == null']\n  type: deny\n")
        assert problems.failed, name


def test_a_response_is_needed_for_res() -> None:
    with pytest.raises(LookupError):
        _ = Scope(request(), CLOCK.now).res
