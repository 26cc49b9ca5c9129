"""How often: sliding windows (pure arithmetic) and the keyed buckets that hold them.

Counts belong to the process, not to a configuration: they are keyed by stable names and survive a reload.
"""
