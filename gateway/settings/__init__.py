"""What the operator decided: flags, environment and configuration file, as one frozen ``Settings``.

    environment     the only reader of ``os.environ``
    address         listeners and URLs
    model           the frozen values
    shapes          what may stand in the file; the source of the reference in the README
    load            flags over environment over file over defaults (SV-2)

Decision: ``Settings`` is re-exported here, since every layer above names it.
"""

from __future__ import annotations

from gateway.settings.model import Settings

__all__ = ["Settings"]
