"""Problems of ``ai.managed_keys`` (AG-192)."""

from __future__ import annotations

from gateway.actions import ACTIONS
from gateway.app.managed import check_managed_keys, check_managed_providers
from gateway.policy.load import policy_context
from gateway.policy.model import Phase
from gateway.settings.model import AiSettings

ENVIRONMENT = policy_context(ACTIONS).environment(Phase.REQUEST)


def test_expressions_are_compiled_at_load():
    good = AiSettings(managed_keys=(("openai", ("sk-plain", "${secrets.get('v', 'n')}")),))
    assert not check_managed_keys(good, ENVIRONMENT).failed
    bad = AiSettings(managed_keys=(("openai", ("sk-plain", "${secrets.get('v' sk-secret}")),))
    (problem,) = check_managed_keys(bad, ENVIRONMENT)
    assert (problem.severity, problem.path) == ("error", "ai.managed_keys.openai[1]")
    assert "sk-secret" not in str(problem)


def test_unknown_providers_are_a_warning():
    settings = AiSettings(managed_keys=(("OpenAI", ("a",)), ("opnai", ("b",))))
    (problem,) = check_managed_providers(settings, {"openai"})
    assert (problem.severity, problem.path) == ("warning", "ai.managed_keys.opnai")
