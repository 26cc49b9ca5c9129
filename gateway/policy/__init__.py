"""Traffic policies: document to frozen model to compiled phases, and the engine that runs a phase.

Glossary
    phase       when rules run: ``on_http_request``, ``on_http_response``, ``on_event_stream_message`` …
    rule        expressions that must all hold, then actions in order
    outcome     what an action decided; None lets the phase go on

Decision: ``policy`` does not know the actions. The composition root hands it the table, so that the engine can be
read, tested and fuzzed without them.
"""
