"""Resilience scorecard: what a client sees of every way in which a provider can fail, as a table of promises.

    python -m loadtest.scorecard            runs every scenario, writes results/scorecard.md and .json
    python -m loadtest.scorecard --fast     the same with short time limits, for a quick look; writes nothing

A gateway runs as a process of its own with its management listener; the demo provider plays the faults in this
process, where every upstream request is counted. Each scenario has a provider entry with two keys of its own and, where
its promise is failover, a second model.

Verdicts
    pass      everything that was promised was seen
    partial   the client was served as promised, but something beside it was not right
    fail      the client was not served as promised
"""
