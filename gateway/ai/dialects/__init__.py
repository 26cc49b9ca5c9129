"""Wire formats of the providers, one file each: error bodies, event streams, lists of models.

``dialect_for`` and ``codec_for`` are all that the rest of the gateway asks for; they are at hand here, so that nobody
has to know which file knows which format.
"""

from __future__ import annotations

from gateway.ai.dialects.table import codec_for, dialect_for

__all__ = ["codec_for", "dialect_for"]
