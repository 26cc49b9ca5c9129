"""Everything that is about models: which exist, which suit a request, in which order, with which key.

Glossary
    provider        a service with models, built-in or declared in a policy
    author          who made a model; the same model may be served by several providers
    candidate       a (provider, model) pair that may serve the request
    strategy        an expression that filters and orders candidates or keys
    official        a built-in provider without its own base URL; any other is custom
    commit          the first byte to the client; failover is over from there

Decisions
    Only the fields that the gateway acts on are typed; the rest of a request passes through byte for byte, so that
    a provider's new parameter works on the day it appears.
    Adding a provider or a model is data (``ai/data``); adding a wire format is one file in ``dialects``.
"""
