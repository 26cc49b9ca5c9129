"""``close-connection`` (TP-361, TP-362, CL-71)."""

from __future__ import annotations

import pytest

from gateway.policy.action import CloseConnection
from gateway.policy.model import Phase
from tests.unit.actions.policies import Policies, action, report


@pytest.mark.parametrize("phase", [Phase.TCP, Phase.REQUEST])
def test_the_connection_closes_without_an_answer_tp361(phase: Phase) -> None:
    policies = Policies()
    policy = policies.compile(f"{phase}:\n  - type: close-connection\n")
    exchange = policies.exchange()
    assert isinstance(policies.run(policy, exchange, phase), CloseConnection)
    assert exchange.results == {}


def test_only_on_one_path_cl71() -> None:
    policies = Policies()
    policy = policies.compile(
        """
        on_http_request:
          - expressions: ["req.url.path == '/gone'"]
            actions: [{type: close-connection}]
        """
    )
    assert policies.run(policy, policies.exchange(path="/here")) is None
    assert isinstance(policies.run(policy, policies.exchange(path="/gone")), CloseConnection)


def test_it_has_no_fields() -> None:
    assert report(Policies().problems(action("close-connection", "after: 5s"))) == [("ERR_NGROK_2203", 4, 7)]


def test_it_cannot_stand_in_the_response_phase() -> None:
    problems = Policies().problems("on_http_response:\n  - type: close-connection\n")
    assert report(problems) == [("ERR_NGROK_2202", 2, 11)]
