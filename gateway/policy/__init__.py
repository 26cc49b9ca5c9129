"""Traffic policies: document to frozen model to compiled phases, and the engine that runs a phase.

Glossary
    phase       when rules run: ``on_http_request``, ``on_http_response``, ``on_event_stream_message`` …
    rule        expressions that must all hold, then actions in order
    outcome     what an action decided; None lets the phase go on
    scope       what expressions see of one exchange; its members are computed when they are first read
    field       a configuration field that holds an expression: interpolated text, expression, structure
    index       which rules of a phase may match at all, by the facts that their conditions demand
    atlas       what is known about IP addresses: places, autonomous systems, categories

The way of a policy, by file: ``load`` (``unwrap``, ``fields``, ``checks``) → ``model`` → ``compile`` → ``engine``.
What an expression may mention is in ``environments``; the values come from ``variables`` and the views beside it.

Decisions
    ``policy`` does not know the actions. The composition root hands it the table, so that the engine can be read,
    tested and fuzzed without them.

    Expressions are compiled once, while the document is read, because only there are positions known; the model holds
    the compiled programs. Compiling a policy afterwards only binds actions to what they need and cannot fail.

    Everything fails closed. An exception in a condition, in a field or in an action ends the phase with an error; the
    log gets the place and the kind of failure, never a value (2026-11).

    Rules are looked up, not asked one by one. Measured on the development machine: 100 rules that do not match cost
    8 to 130 µs when each is called, 1 µs (a mix of forms: 2.5 µs) when two or three tables say which may match. Taking
    the conditions of a phase together into one function would have saved the calls, not the work (2026-11).

    ``user_agent`` is a small table of our own. Places and autonomous systems come out of MaxMind databases by
    maxminddb, an optional package; categories out of lists of the operator. Members of ``conn`` have types where there
    is such a database and are load errors where there is none (2026-11).
"""
