"""Soak: very many requests, after which nothing may have stayed behind (P01).

    python -m loadtest.soak --requests 200000     writes results/soak.md and .json

A gateway runs as a process of its own; clients and the demo provider share this one. Names of models, callers and keys
are drawn anew for every request, a part of the requests meets a fault, a part of the clients hangs up. Afterwards the
gauges must be at their base and the resident memory must not have grown by more than ``MAX_SLOPE_MIB`` per 100,000
requests since the warm-up; every answer is compared with what its request should give.
"""
