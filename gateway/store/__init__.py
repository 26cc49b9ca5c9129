"""Rows on disk: SQLite with one writer. Ciphertext and hashes only; nothing on the request path waits for it."""
