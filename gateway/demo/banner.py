"""What ``gateway demo`` prints: requests ready to paste, and model names worth trying. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.demo.policy import DEMO_KEY

_BANNER = """\
The gateway listens on {url}. Behind it is a demo provider: no account, no network, any key.

curl:

  curl -N {url}/v1/chat/completions \\
    -H 'authorization: Bearer {key}' -H 'content-type: application/json' \\
    -d '{{"model": "demo", "stream": true, "messages": [{{"role": "user", "content": "Hello"}}]}}'

Python, OpenAI SDK (pip install openai):

  from openai import OpenAI

  client = OpenAI(base_url="{url}/v1", api_key="{key}")
  answer = client.chat.completions.create(model="demo", messages=[{{"role": "user", "content": "Hello"}}])
  print(answer.choices[0].message.content)

Python, Anthropic SDK (pip install anthropic):

  from anthropic import Anthropic

  client = Anthropic(base_url="{url}", api_key="{key}")
  answer = client.messages.create(
      model="demo", max_tokens=100, messages=[{{"role": "user", "content": "Hello"}}]
  )
  print(answer.content[0].text)

Failover, seen by the client as one good answer (the first two fail):

  curl -i {url}/v1/chat/completions \\
    -H 'authorization: Bearer {key}' -H 'content-type: application/json' \\
    -d '{{"models": ["demo-429", "demo-reset", "demo"], "messages": [{{"role": "user", "content": "Hello"}}]}}'

Models to try:

{models}

Watch it from another terminal:
  {watch}

Faults combine (demo:demo-late-2s-cut-5), settings follow a colon (demo:n=200,delay=5ms); all of them:
  curl {provider_url}/demo/faults
{others}"""

_TRY = (
    ("demo", "24 tokens, 50 per second"),
    ("demo-fast", "the same without pauses"),
    ("demo-think", "reasons first"),
    ("demo-tools", "answers with a tool call"),
    ("demo-429-retry-after-7", "rate limited"),
    ("demo-503", "overloaded"),
    ("demo-reset", "resets the connection"),
    ("demo-silent", "never answers: the gateway's time limit ends it"),
    ("demo-error-first", "200, then an error as the first event: fails over"),
    ("demo-cut-5", "breaks off after 5 tokens: the client gets an error event"),
    ("demo-flap-3", "fails three times, works three times"),
)


def render_banner(
    gateway_url: str, *, provider_url: str, watch: str, key: str = DEMO_KEY, others: Sequence[str] = ()
) -> str:
    """The text; URLs are without ``/v1``, ``others`` are official providers whose keys were found.

    ``watch``: the command that shows what goes on.
    """
    width = max(len(name) for name, _ in _TRY)
    found = f"Keys were found for: {', '.join(others)}. Their models work too, as PROVIDER:MODEL.\n" if others else ""
    return _BANNER.format(
        url=gateway_url.rstrip("/"),
        provider_url=provider_url.rstrip("/"),
        key=key,
        watch=watch,
        models="\n".join(f"  {name.ljust(width)}  {what}" for name, what in _TRY),
        others=found,
    )
