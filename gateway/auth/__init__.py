"""Who is asking: gateway keys, held as hashes only, what they may use, and what they have used.

A key's text exists once, when it is made. The table maps the public part of a token to an identity with the token's
hash, so that a lookup costs the same for ten keys as for a hundred thousand, and a copy of the store opens nothing.

Glossary
    token            ``ng-<public>-g1-<secret>``, shown once
    identity         what a valid token stands for on the request path
    configuration    a scope (which providers and models) and routing rules (whose provider keys)
    ledger           what budgets have left, in memory; the store keeps its counters, never the request path

Decisions
    Tables are replaced, not changed: whoever holds one sees one state, and a deletion is one assignment (CP-66).
    Last uses, budgets and usage queues are the opposite: they change with every request and survive every replacement.
"""
