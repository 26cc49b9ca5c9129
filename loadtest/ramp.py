"""A ramp: users rise in steps to the full number, stay, and fall again."""

from __future__ import annotations

import math
import os

from locust import LoadTestShape

from loadtest.users import ChatUser

__all__ = ["ChatUser", "RampShape"]

_STEPS = 8
_RISE, _FALL = 0.6, 0.15


class RampShape(LoadTestShape):
    """60 % of LOADTEST_SECONDS to rise to LOADTEST_USERS, 15 % to fall."""

    users = int(os.environ.get("LOADTEST_USERS", "50"))
    seconds = int(os.environ.get("LOADTEST_SECONDS", "20"))

    def tick(self) -> tuple[int, float] | None:
        share = self.get_run_time() / self.seconds
        if share >= 1.0:
            return None
        if share < _RISE:
            part = math.ceil(share / _RISE * _STEPS) / _STEPS
        else:
            part = 1.0 if share < 1.0 - _FALL else max((1.0 - share) / _FALL, 1 / _STEPS)
        return max(math.ceil(self.users * part), 1), float(self.users)
