"""Live numbers about keys and models: what outlives requests and reloads, keyed by stable names.

``MetricsRegistry`` belongs to the process. A snapshot asks it for the numbers of its models and keys and gets the same
objects as its predecessor, so that a reload forgets nothing. All growth is bounded: see the limits below.
Source: ai-gateway.md 5.5, AG-120 to AG-132, AG-157; lessons.md P01, P16.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from decimal import Decimal
from math import inf
from typing import ClassVar, Final

from gateway.ai.measure import SUCCESS, Measure
from gateway.ai.quota import Quota, parse_retry_after
from gateway.ai.usage import usd
from gateway.ai.window_metrics import WAITING, AccountMetrics, FanOut, GlobalMetrics, Timeline, Window, settle
from gateway.cel.env import CelType, map_of, object_of
from gateway.clock import Clock
from gateway.headers import HeaderMap

COOLING_S: Final = 60.0
#: clients choose the names of pass-through models: beyond this many, names share one entry per provider or key
PASS_THROUGH_LIMIT: Final = 512
#: (model, key) windows; further keys are left out of ``m.metrics.api_keys`` until others have been idle for a window
KEY_WINDOW_LIMIT: Final = 8_192
#: keys whose value is computed per request may be without number: beyond this many they share one entry per provider
KEY_LIMIT: Final = 16_384
#: (key, upstream model) states of 1.5 KiB each: names that clients make up have a state of their own up to a quarter
#: of this many, models of the configuration up to all of it; beyond, a key has one state for all others
STATE_LIMIT: Final = 16_384
#: the name that stands for all others
OTHERS: Final = "*"


class KeyMetrics(AccountMetrics):
    """``m.metrics.api_keys[id]``; lives in that map as long as its window is not empty."""

    __slots__ = ("_home", "_registry", "key_id", "quota")
    __cel__: ClassVar[Mapping[str, CelType]] = {**AccountMetrics.__cel__, "quota": object_of(Quota)}

    def __init__(self, registry: MetricsRegistry, series: ModelSeries, key_id: str, quota: Quota) -> None:
        super().__init__(registry.timeline, series.provider, series.model)
        self._registry = registry
        self._home = series.api_keys
        self.key_id = key_id
        self.quota = quota

    def drop(self, number: int) -> None:
        """Forgets a bucket, and itself with the last one."""
        super().drop(number)
        if not self._buckets:
            del self._home[self.key_id]
            self._registry.key_windows -= 1


class ModelMetrics:
    """``m.metrics``: one model as seen from one endpoint. ``global``, ``region`` and ``account`` are one (AG-122)."""

    __slots__ = ("account", "api_keys", "endpoint", "global", "region", "series")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "global": object_of(GlobalMetrics),
        "region": object_of(GlobalMetrics),
        "account": object_of(AccountMetrics),
        "endpoint": object_of(AccountMetrics),
        "api_keys": map_of(object_of(KeyMetrics)),
    }

    def __init__(self, series: ModelSeries, endpoint: AccountMetrics) -> None:
        self.series = series
        self.account = self.region = series.account
        setattr(self, "global", series.account)  # a keyword in Python, a documented name in expressions
        self.endpoint = endpoint
        self.api_keys = series.api_keys


class Booked:
    """Tokens and money of every attempt since the start, those included whose client left (AG-240, AG-331, P02)."""

    __slots__ = ("cost_units", "estimated_input", "estimated_output", "input", "output")

    def __init__(self) -> None:
        #: as providers reported them
        self.input = self.output = 0
        #: counted here, for attempts whose provider reported none
        self.estimated_input = self.estimated_output = 0
        #: 0.00001 USD
        self.cost_units = 0

    @property
    def cost_usd(self) -> Decimal:
        """What was spent."""
        return usd(self.cost_units) if self.cost_units else Decimal(0)


class ModelSeries:
    """One model of one provider over all endpoints. ``known`` False: a client made up the name (AG-79)."""

    __slots__ = ("account", "api_keys", "booked", "endpoints", "known", "model", "provider")

    def __init__(self, timeline: Timeline, provider: str, model: str, *, known: bool = True) -> None:
        self.provider = provider
        self.model = model
        self.known = known
        self.booked = Booked()
        self.account = AccountMetrics(timeline, provider, model, forever=True)
        self.endpoints: dict[str, AccountMetrics] = {}
        self.api_keys: dict[str, KeyMetrics] = {}


class KeyState:
    """What is known about one key at one upstream model: its quota, and until when it is cooling (AG-131, AG-157)."""

    __slots__ = ("_queued_s", "_registry", "_unsettled", "cool_until_s", "quota")

    def __init__(self, registry: MetricsRegistry) -> None:
        self._registry = registry
        self._queued_s = inf
        self._unsettled = False
        self.quota = Quota(registry.clock.monotonic)
        #: monotonic; 0.0 when it never cooled
        self.cool_until_s = 0.0

    def observe(self, status: int, headers: HeaderMap) -> None:
        """The head of one upstream response: quota headers, and whether the key has to cool."""
        registry = self._registry
        monotonic, now = registry.clock.monotonic, registry.clock.now
        now_s, now_unix_s = monotonic(), now()
        if self.quota.observe(headers, status, now_s, now_unix_s) and not self._unsettled:
            self._unsettled = True
            registry.unsettled.append(self)
        if status in (401, 403, 429):
            self.cool_until_s = self._cools_until_s(status, headers, now_s, now_unix_s)

    def _cools_until_s(self, status: int, headers: HeaderMap, now_s: float, now_unix_s: float) -> float:
        """The newest answer knows best."""
        if status == 429:
            wait_s = parse_retry_after(headers, now_unix_s)
            if wait_s is not None:
                return now_s + wait_s
            self.quota.settle(now_s)
            reset_s = self.quota.exhausted_reset_s()
            if reset_s is not None:
                return reset_s
        return now_s + COOLING_S

    def settle(self, now_s: float) -> None:
        """Lets what was observed, and resets that have passed, take effect."""
        self._unsettled = False
        self.quota.settle(now_s)
        due_s = self.quota.due_s
        if due_s < self._queued_s:
            self._queued_s = due_s
            self._registry.remind(due_s, self)

    def wake(self, due_s: float, now_s: float) -> None:
        """A reminder came."""
        if due_s == self._queued_s:  # else an earlier reminder has replaced this one
            self._queued_s = inf
            self.settle(now_s)


class KeyWindow(Window):
    """``k.error_rate`` over all models: outcomes only. Sees to the timeline itself."""

    __slots__ = ("_registry", "key_id")

    def __init__(self, registry: MetricsRegistry, provider: str, key_id: str) -> None:
        super().__init__(registry.timeline, provider, "", forever=True)
        self._registry = registry
        self._changed = registry.timeline.changed_keys
        self.key_id = key_id

    def record(self, measure: Measure) -> None:
        """One attempt. A success among successes leaves the rates at 0.0: nothing to settle."""
        self._registry.advance()
        if self._current.number != self._timeline.number:
            self._open()
        waiting = self._waiting
        waiting.append(measure)
        if not self._listed and (measure.outcome is not SUCCESS or self.error_rate.total):
            self._listed = True
            self._changed.append(self)
        if len(waiting) >= WAITING:
            self._fold()

    def settle(self) -> None:
        """Brings the error rates up to date."""
        self._listed = False
        if self._waiting:
            self._fold()
        self.error_rate.set(self._closed, self._current)
        if self.error_rate.rate_limit:
            self._registry.rate_limited.add(self)

    def _fold(self) -> None:
        self._current.fold_outcomes(self._waiting)
        self._waiting.clear()


class KeySeries:
    """One key of one provider: its window over all models (AG-132) and its state per upstream model."""

    __slots__ = ("_registry", "rotation", "states", "window")

    def __init__(self, registry: MetricsRegistry, provider: str, key_id: str, rotation: int = 0) -> None:
        self._registry = registry
        self.rotation = rotation
        self.window = KeyWindow(registry, provider, key_id)
        self.states: dict[str, KeyState] = {}

    def state(self, upstream_model: str, *, known: bool = True) -> KeyState:
        """The state at that model; names beyond the limits share one. ``known`` False: a client made up the name."""
        state = self.states.get(upstream_model)
        if state is None:
            room = STATE_LIMIT if known else STATE_LIMIT // 4
            own = len(self.states) < PASS_THROUGH_LIMIT and self._registry.states < room
            name = upstream_model if own else OTHERS
            state = self.states.get(name)
            if state is None:
                self._registry.states += 1
                state = self.states[name] = KeyState(self._registry)
        return state


class MetricsRegistry:
    """Every window and every key state of the installation."""

    __slots__ = (
        "_keys", "_models", "_passed_through", "_reminders", "_sequence", "clock", "key_windows", "rate_limited",
        "states", "timeline", "unknown_quota", "unsettled",
    )  # fmt: skip

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.timeline = Timeline(clock)
        #: for the windows of gateway keys (AG-122)
        self.unknown_quota = Quota(clock.monotonic)
        #: states with observations that nobody has read
        self.unsettled: list[KeyState] = []
        #: keys that had a 429 in their window when they were last settled; ``alerts`` takes them out again
        self.rate_limited: set[KeyWindow] = set()
        #: how many ``KeyState`` exist
        self.states = 0
        #: how many ``KeyMetrics`` exist
        self.key_windows = 0
        self._models: dict[tuple[str, str], ModelSeries] = {}
        self._keys: dict[tuple[str, str], KeySeries] = {}
        self._passed_through = 0
        #: (monotonic moment, number, state): resets that take effect without a request
        self._reminders: list[tuple[float, int, KeyState]] = []
        self._sequence = 0

    def model(self, provider_id: str, model_id: str, endpoint_id: str, *, known: bool = True) -> ModelMetrics:
        """The numbers of one model for one endpoint; the same windows on every call."""
        series = self._models.get((provider_id, model_id))
        if series is None:
            if not known:
                model_id = model_id if self._passed_through < PASS_THROUGH_LIMIT else OTHERS
                self._passed_through += 1
            made = ModelSeries(self.timeline, provider_id, model_id, known=known)
            series = self._models.setdefault((provider_id, model_id), made)
        elif known:
            series.known = True
        endpoint = series.endpoints.get(endpoint_id)
        if endpoint is None:
            endpoint = series.endpoints[endpoint_id] = AccountMetrics(self.timeline, provider_id, model_id)
        return ModelMetrics(series, endpoint)

    def key(self, provider_id: str, key_id: str, rotation: int = 0) -> KeySeries:
        """The numbers of one provider key; they start anew with each new value of a stored one (CP-34)."""
        series = self._keys.get((provider_id, key_id))
        if series is None:
            name = key_id if len(self._keys) < KEY_LIMIT else OTHERS
            series = self._keys.setdefault((provider_id, name), KeySeries(self, provider_id, name, rotation))
        elif series.rotation < rotation:
            series = self._keys[provider_id, key_id] = KeySeries(self, provider_id, key_id, rotation)
        return series

    def all_models(self) -> Iterable[ModelSeries]:
        """Every model that was ever asked for, oldest first."""
        return self._models.values()

    def all_keys(self) -> Iterable[KeySeries]:
        """Every key that was ever offered, oldest first; its id is that of its window, '' for no key."""
        return self._keys.values()

    def advance(self) -> float:
        """Moves the windows to the present; gives the monotonic now."""
        monotonic = self.clock.monotonic
        now_s = monotonic()
        if now_s >= self.timeline.next_s:
            self.timeline.advance(now_s)
        return now_s

    def settle(self) -> float:
        """Brings everything that model strategies and metrics read up to date; gives the monotonic now."""
        now_s = self.advance()
        self.settle_keys(now_s)
        if self.timeline.pending:
            self.timeline.deliver()
        settle(self.timeline.changed)
        return now_s

    def settle_keys(self, now_s: float) -> None:
        """The same for quotas and error rates of keys only; ``now_s`` is what ``advance`` gave."""
        changed = self.timeline.changed_keys
        if changed:
            settle(changed)
        if self.unsettled:
            states, self.unsettled = self.unsettled, []
            for state in states:
                state.settle(now_s)
        reminders = self._reminders
        while reminders and reminders[0][0] <= now_s:
            due_s, _, state = heapq.heappop(reminders)
            state.wake(due_s, now_s)

    def remind(self, due_s: float, state: KeyState) -> None:
        """Calls ``state.wake`` at the first ``settle`` after ``due_s``."""
        self._sequence += 1
        heapq.heappush(self._reminders, (due_s, self._sequence, state))

    def record(self, metrics: ModelMetrics, measure: Measure, keys: tuple[tuple[str, Quota], ...] = ()) -> None:
        """One finished attempt at a model, with the ids (and quotas) of the provider key and gateway key it used."""
        self.advance()
        series = metrics.series
        series.account.record(measure)
        metrics.endpoint.record(measure)
        for key_id, quota in keys:
            window = series.api_keys.get(key_id) or self._open_key(series, key_id, quota)
            if window is not None:
                window.record(measure)

    def fan_out(self, metrics: ModelMetrics, key_id: str, quota: Quota) -> FanOut:
        """What counts attempts at a model with one provider key; the caller keeps it and advances the timeline."""
        series = metrics.series
        windows: list[Window] = [series.account, metrics.endpoint]
        key_window = series.api_keys.get(key_id) or self._open_key(series, key_id, quota) if key_id else None
        if key_window is not None:
            windows.append(key_window)
        return FanOut(self.timeline, tuple(windows))

    def _open_key(self, series: ModelSeries, key_id: str, quota: Quota) -> KeyMetrics | None:
        if self.key_windows >= KEY_WINDOW_LIMIT:
            return None
        self.key_windows += 1
        window = series.api_keys[key_id] = KeyMetrics(self, series, key_id, quota)
        return window
