"""AI gateway: one process between applications and model providers.

Glossary
    downstream / upstream   client side / provider side
    phase, rule, action     ``on_http_request``; expressions + actions; one typed step
    outcome                 what an action decided: go on (None) or one of ``gateway.policy.action``
    provider, dialect       a service; its wire format (OpenAI, Anthropic)
    candidate               a (provider, model) pair worth trying
    plan, attempt           ordered candidates with their keys; one upstream request
    retry / failover        same candidate again / the next one
    bucket, window          one key's counter / its time span
    snapshot, exchange      immutable view of the configuration / one request's mutable state

The path of a request, by file: ``proxy/handler.py`` (accept, phases, commit, record) →
``policy/engine.py`` (rules) → ``actions/ai_gateway.py`` → ``ai/failover.py`` (plan, attempts) →
``upstream/attempt.py`` (one upstream request) → ``upstream/relay.py`` (bytes to the client).
"""

__version__ = "0.1.0"
