"""The gateway beside nginx and HAProxy as plain proxies, in one interleaved run.

    python -m loadtest.bench                                  all targets, all cases, medians of 3 rounds
    python -m loadtest.bench --targets nginx,gateway --cases json32 --rounds 1
    python -m loadtest.bench --check gateway                  is it correct? before its speed counts

What counts is the target's CPU time per request and per event, read over exactly the measured window: wall-clock
figures depend on the load generator and on the machine's mood. The target runs alone on CPU 0, mock upstream and load
generator share CPU 1.

Decisions
    Mock and load generator are Python (uvloop, protocols, one callback per arrival), so that nothing but the two Debian
    packages is needed. They saturate the gateway; nginx and HAProxy they do not, so these two also pay for waking up
    and going to sleep, which a saturated run would hide. Ratios at `json32` and `sse16` therefore flatter the gateway
    a little; at `paced100` and `fast100` the offered load is the same for all and the ratios are exact.
"""
