"""A demo provider: OpenAI- and Anthropic-shaped, local, and as faulty as one asks it to be.

It is the fixture of the tests and the thing to try policies on: the *model name* (or the *API key*) selects
pace, length and faults, so a policy can be watched failing over without waiting for a real outage.

Path of a request: ``connection.py`` (bytes in) → ``wire.py`` (HTTP) → ``service.py`` (key, model, validation) →
``chat.py | responses.py | messages.py`` (bodies and events) → ``script.py`` (steps with faults) → ``player.py``
(bytes out).

Vocabulary
    behaviour   what one model name asks for: pace, length, faults (``behaviour.py``)
    fault       one word of the grammar and what it does; ``faults.FAULTS`` is the list, and the documentation's source
    reply       what is answered, before it is put into a dialect
    step        wait, write these bytes, then perhaps reset, close or fall silent (``script.py``)

Decisions
    Callbacks on a raw ``asyncio.Protocol``, no task per request: a fault needs the transport (reset, garbage, half a
    frame), and an event costs one callback, so one process plays far more than 20,000 events per second.
    Everything that is sent is a step, garbage and JSON included, so that there is one player and no special paths.
    One event is one write: every step is written in a loop turn of its own, since the loop joins the writes of a turn.
    Text, ids and usage are deterministic: the same request gives the same words, streamed or not.
"""
