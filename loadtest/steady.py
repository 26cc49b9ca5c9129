"""Steady load: all users at once, for a fixed time. `locust -f loadtest/steady.py` or `python -m loadtest.run`."""

from __future__ import annotations

import os

from locust import LoadTestShape

from loadtest.users import ChatUser

__all__ = ["ChatUser", "SteadyShape"]


class SteadyShape(LoadTestShape):
    """LOADTEST_USERS users for LOADTEST_SECONDS."""

    users = int(os.environ.get("LOADTEST_USERS", "50"))
    seconds = int(os.environ.get("LOADTEST_SECONDS", "20"))

    def tick(self) -> tuple[int, float] | None:
        if self.get_run_time() >= self.seconds:
            return None
        return self.users, float(self.users)
