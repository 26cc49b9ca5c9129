"""The catalog of one snapshot: what is shipped, the operator's overlay, and prices (AG-60 to AG-64).

Read at every build, so that a reload sees a changed overlay and a new version of the prices. Whatever is wrong with
either is an error of the build: a reload then keeps the previous catalog together with everything else (AG-61, SV-20),
and a start fails. That holds for a missing price package, too: without prices a budget in USD would never be used up.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.ai.catalog import Catalog, load_overlay, load_shipped
from gateway.ai.prices import PricesUnavailable, add_prices
from gateway.problems import Problems

if TYPE_CHECKING:
    from gateway.clock import Clock
    from gateway.settings.model import AiSettings

log = logging.getLogger("gateway")
_PRICES_PLACE = "<ai.prices>"


def load_catalog(settings: AiSettings, clock: Clock) -> tuple[Catalog | None, list[Problems]]:
    """The catalog, or None, and what there is to say. Reads files, may import a package: not on the event loop."""
    found: list[Problems] = []
    catalog = _overlaid(settings, found) if settings.catalog_file is not None else load_shipped()
    if catalog is not None and settings.prices != "off":
        catalog = _priced(catalog, clock, found)
    return catalog, found


def _overlaid(settings: AiSettings, found: list[Problems]) -> Catalog | None:
    assert settings.catalog_file is not None
    problems = Problems(str(settings.catalog_file))
    found.append(problems)
    try:
        source = settings.catalog_file.read_bytes()
    except OSError as error:
        problems.add_error(problems.codes.bad_value, f"cannot be read: {error.strerror}", line=1, column=1)
        return None
    return load_overlay(source, problems, settings.allow_http_hosts)


def _priced(catalog: Catalog, clock: Clock, found: list[Problems]) -> Catalog | None:
    try:
        priced, source = add_prices(catalog, datetime.fromtimestamp(clock.now(), UTC))
    except PricesUnavailable as unavailable:
        problems = Problems(_PRICES_PLACE)
        problems.add_error(problems.codes.bad_value, str(unavailable), line=1, column=1)
        found.append(problems)
        return None
    log.info("%s %s prices %d models", source.name, source.version, source.priced)
    return priced
