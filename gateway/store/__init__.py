"""Rows on disk: SQLite with one writer. Ciphertext and hashes only; nothing on the request path waits for it.

Glossary
    row           one line of a table, frozen; JSON columns stay text here, their meaning belongs to ``control``
    transaction   a function that runs on the writer's thread between BEGIN IMMEDIATE and COMMIT
    head          where the audit chain stands: number, hash and length of the last committed line

Decisions
    Work is sent to the database's threads as a function instead of statements one by one: checks, the change, its
    audit lines and its ids are then one transaction, and ids are in the order of commits (CP-10, CP-19).
    One writer and one reader thread, not a pool: the management side is slow traffic, and SQLite has one writer anyway.
"""
