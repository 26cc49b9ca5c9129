"""Policies without a server: what a policy does with a request, shown (``explain``) or compared (``test``).

Both run the real request path (``proxy.handler``, the engine, the actions, failover) on an endpoint that has no
sockets: a client in memory, upstream answers played from a document, a clock that stands still, seeded chance. What is
seen on the way comes from rules that are compiled a second time, around the first; the request path knows nothing of
it.

Glossary
    case        a request, what surrounds it, and what is expected of it; one or more steps
    step        one request of a case, sent once or several times
    played      an upstream's answer that stands in a document
    trace       what happened to one request: rules, expressions, actions, limits, candidates
    part        an expression inside an expression, with its value
"""
