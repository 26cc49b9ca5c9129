"""The management side: its own listener, its own API, the reload. Never on the path of a model request.

Glossary
    style A, style B   the current API (camelCase) and the older one (snake_case): two views of the same rows
    plane              what every handler works with: store, keys, view, clock (``plane.ControlPlane``)
    view               what the store says, opened and indexed for the request path; replaced as a whole
    change             one transaction with its audit events and its effects on the view (``plane.Change``)
    publisher          takes a new view to the data plane; returns when it is effective (CP-19, CP-66)

The path of a write: ``server`` (host, key, body) → a handler in ``resources`` → ``ControlPlane.change`` (transaction,
audit, commit, effects, publish) → the answer. Nothing is answered before it is durable and effective.

Decisions
    Routes are an explicit table (``routes.ROUTES``), from which the router, the authentication of every path and the
    OpenAPI document are made: what is not in it does not exist (P20).
    Errors of this API have a table of their own (``errors``): other codes, two body shapes, none of it reaches the
    data plane.
"""
