"""Traffic policies: document to frozen model to compiled phases, and the engine that runs a phase.

Glossary
    phase       when rules run: ``on_http_request``, ``on_http_response``, ``on_event_stream_message`` …
    rule        expressions that must all hold, then actions in order
    outcome     what an action decided; None lets the phase go on
    scope       what expressions see of one exchange; its members are computed when they are first read
    field       a configuration field that holds an expression: interpolated text, expression, structure

The way of a policy, by file: ``load`` (``unwrap``, ``fields``, ``checks``) → ``model`` → ``compile`` → ``engine``.
What an expression may mention is in ``environments``; the values come from ``variables`` and the views beside it.

Decisions
    ``policy`` does not know the actions. The composition root hands it the table, so that the engine can be read,
    tested and fuzzed without them.

    Expressions are compiled once, while the document is read, because only there are positions known; the model holds
    the compiled programs. Compiling a policy afterwards only binds actions to what they need and cannot fail.

    Everything fails closed. An exception in a condition, in a field or in an action ends the phase with an error; the
    log gets the place and the kind of failure, never a value (2026-11).

    ``user_agent`` is a small table of our own; GeoIP databases and lists of addresses are not read, so that variables
    which need them are load errors, even where a database is configured (2026-11).
"""
