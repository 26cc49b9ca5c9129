"""The policy that ``gateway demo`` runs: the demo provider, and the official providers whose keys are at hand. Pure.

The text is built, not shipped as a file, since the provider's port is only known once it listens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from gateway.demo.faults import EMBEDDING_MODEL
from gateway.demo.service import LISTED_MODELS

DEMO_KEY = "demo-key"

_POLICY = """\
# The demo provider stands in for a real one: it fails, stalls and cuts as its model names say.
on_http_request:
  - type: ai-gateway
    config:
      # Short, so that demo-silent fails over while one watches.
      per_request_timeout: 10s
      total_timeout: 60s
      only_allow_configured_providers: true
      providers:
        - id: demo
          display_name: Demo provider
          base_url: {base_url}
          supported_api_surfaces:
            - format: openai
            - format: anthropic
          api_keys:
{keys}
          models:
{models}
{others}"""


def render_policy(
    provider_base_url: str, *, keys: Sequence[str] = (DEMO_KEY,), others: Mapping[str, str] | None = None
) -> str:
    """Policy text for the provider at ``http://127.0.0.1:PORT/v1``.

    ``others`` maps an official provider's id to the value of its key, as it shall stand in the policy
    (``${secrets.get('demo', 'openai')}``). Names that are not listed reach the demo provider as ``demo:NAME``.
    """
    entries = [
        f"        - id: {json.dumps(provider)}\n          api_keys:\n            - value: {json.dumps(value)}\n"
        for provider, value in (others or {}).items()
    ]
    return _POLICY.format(
        base_url=json.dumps(provider_base_url),
        keys="\n".join(f"            - value: {json.dumps(key)}" for key in keys),
        models="\n".join(f"            - id: {json.dumps(name)}" for name in (*LISTED_MODELS, EMBEDDING_MODEL)),
        others="".join(entries),
    )
