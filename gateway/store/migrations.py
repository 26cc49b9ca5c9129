"""The schema, as the steps that led to it. A step is never edited once released; the newest is the last (CP-108).

Times are Unix milliseconds, money is whole units of 0.00001 USD (AG-248), booleans are 0 and 1.
"""

from __future__ import annotations

from typing import Final

_OWNED: Final = """
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, created_by TEXT NOT NULL, updated_by TEXT NOT NULL
"""

_FIRST: Final = (
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    f"""CREATE TABLE gateway_keys (
        id TEXT PRIMARY KEY, public TEXT NOT NULL UNIQUE, digest BLOB NOT NULL, redacted TEXT NOT NULL,
        name TEXT, description TEXT, metadata TEXT, endpoint_id TEXT, configuration_id TEXT REFERENCES configurations,
        last_used INTEGER, {_OWNED}) WITHOUT ROWID""",
    "CREATE INDEX gateway_keys_of_configuration ON gateway_keys (configuration_id) WHERE configuration_id IS NOT NULL",
    f"""CREATE TABLE admin_keys (
        id TEXT PRIMARY KEY, public TEXT NOT NULL UNIQUE, digest BLOB NOT NULL, redacted TEXT NOT NULL,
        name TEXT, description TEXT, metadata TEXT, last_used INTEGER, {_OWNED}) WITHOUT ROWID""",
    f"""CREATE TABLE configurations (
        id TEXT PRIMARY KEY, name TEXT, description TEXT, metadata TEXT, access TEXT, router TEXT, {_OWNED}
        ) WITHOUT ROWID""",
    f"""CREATE TABLE provider_keys (
        id TEXT PRIMARY KEY, provider_id TEXT NOT NULL, name TEXT, description TEXT, metadata TEXT,
        gateway_key_id TEXT REFERENCES gateway_keys ON DELETE CASCADE, sealed BLOB NOT NULL, redacted TEXT NOT NULL,
        rotation INTEGER NOT NULL, last_used INTEGER, {_OWNED}) WITHOUT ROWID""",
    "CREATE INDEX provider_keys_attached ON provider_keys (gateway_key_id) WHERE gateway_key_id IS NOT NULL",
    "CREATE INDEX provider_keys_of_provider ON provider_keys (provider_id, id)",
    """CREATE TABLE configuration_keys (
        configuration_id TEXT NOT NULL REFERENCES configurations ON DELETE CASCADE,
        provider_key_id TEXT NOT NULL REFERENCES provider_keys ON DELETE CASCADE,
        PRIMARY KEY (provider_key_id, configuration_id)) WITHOUT ROWID""",
    f"""CREATE TABLE providers (
        id TEXT PRIMARY KEY, provider_id TEXT NOT NULL UNIQUE COLLATE NOCASE, name TEXT, base_url TEXT NOT NULL,
        metadata TEXT, surfaces TEXT, models TEXT NOT NULL, {_OWNED}) WITHOUT ROWID""",
    f"""CREATE TABLE vaults (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, description TEXT NOT NULL, metadata TEXT NOT NULL, {_OWNED}
        ) WITHOUT ROWID""",
    f"""CREATE TABLE secrets (
        id TEXT PRIMARY KEY, vault_id TEXT NOT NULL REFERENCES vaults, name TEXT NOT NULL, sealed BLOB NOT NULL,
        description TEXT NOT NULL, metadata TEXT NOT NULL, {_OWNED},
        UNIQUE (vault_id, name)) WITHOUT ROWID""",
    f"""CREATE TABLE budgets (
        id TEXT PRIMARY KEY, scope TEXT NOT NULL, access_key_id TEXT NOT NULL, period TEXT NOT NULL,
        limit_usd INTEGER, limit_tokens INTEGER, enabled INTEGER NOT NULL, period_start INTEGER NOT NULL,
        spent_usd INTEGER NOT NULL, spent_tokens INTEGER NOT NULL, alerted INTEGER NOT NULL, {_OWNED},
        UNIQUE (scope, access_key_id, period)) WITHOUT ROWID""",
    "CREATE TABLE endpoints (id TEXT PRIMARY KEY, first_key_at INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE usage (
        id TEXT PRIMARY KEY, event_time INTEGER NOT NULL, request_id TEXT NOT NULL, access_key_id TEXT NOT NULL,
        provider TEXT NOT NULL, provider_name TEXT NOT NULL, model TEXT NOT NULL, model_name TEXT NOT NULL,
        attempt INTEGER NOT NULL, is_final INTEGER NOT NULL, status INTEGER NOT NULL, timed_out INTEGER NOT NULL,
        is_error INTEGER NOT NULL, is_streaming INTEGER NOT NULL, stop_reason TEXT NOT NULL,
        input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL, cost INTEGER NOT NULL, key_source TEXT NOT NULL,
        provider_key_id TEXT, provider_key_name TEXT, estimated INTEGER NOT NULL, price_version TEXT NOT NULL
        ) WITHOUT ROWID""",
    "CREATE INDEX usage_by_time ON usage (event_time, id)",
    "CREATE INDEX usage_by_key ON usage (access_key_id, event_time, id)",
)

#: without it a stored event cannot be priced again (P24)
_CACHE_WRITES: Final = ("ALTER TABLE usage ADD COLUMN cache_write_tokens INTEGER NOT NULL DEFAULT 0",)

#: what many attempts of a day have in common, kept once; '' for an attempt without a stored key
_KIND_COLUMNS: Final = (
    "day", "provider", "provider_name", "model", "model_name", "attempt", "is_final", "status", "timed_out", "is_error",
    "is_streaming", "key_source", "stop_reason", "provider_key_id", "provider_key_name", "estimated", "price_version",
)  # fmt: skip
_KIND: Final = ", ".join(_KIND_COLUMNS)
_OLD: Final = {
    "day": "event_time / 86400000",
    "provider_key_id": "coalesce(usage.provider_key_id, '')",
    "provider_key_name": "coalesce(usage.provider_key_name, '')",
}
_OLD_KIND: Final = ", ".join(_OLD.get(name, f"usage.{name}") for name in _KIND_COLUMNS)
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: the time in an id, that is the eleven characters behind ``aigu_``
_OLD_NUMBER: Final = " + ".join(
    f"(instr('{_ALPHABET}', substr(id, {position}, 1)) - 1) * {62 ** (16 - position)}" for position in range(6, 17)
)

#: a row per attempt was 500 bytes in three trees, whose keys were texts
_LEAN_USAGE: Final = (
    f"""CREATE TABLE usage_kinds (
        kind INTEGER PRIMARY KEY, day INTEGER NOT NULL, provider TEXT NOT NULL, provider_name TEXT NOT NULL,
        model TEXT NOT NULL, model_name TEXT NOT NULL, attempt INTEGER NOT NULL, is_final INTEGER NOT NULL,
        status INTEGER NOT NULL, timed_out INTEGER NOT NULL, is_error INTEGER NOT NULL, is_streaming INTEGER NOT NULL,
        key_source TEXT NOT NULL, stop_reason TEXT NOT NULL, provider_key_id TEXT NOT NULL,
        provider_key_name TEXT NOT NULL, estimated INTEGER NOT NULL, price_version TEXT NOT NULL, UNIQUE ({_KIND}))""",
    """CREATE TABLE usage_attempts (
        number INTEGER PRIMARY KEY, event_time INTEGER NOT NULL, request_id TEXT NOT NULL, access_key_id TEXT NOT NULL,
        kind INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
        cache_read_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
        cost INTEGER NOT NULL)""",
    f"INSERT INTO usage_kinds ({_KIND}) SELECT DISTINCT {_OLD_KIND} FROM usage",  # noqa: S608
    f"""INSERT INTO usage_attempts
        SELECT {_OLD_NUMBER}, event_time, request_id, access_key_id,
            (SELECT kind FROM usage_kinds WHERE ({_KIND}) = ({_OLD_KIND})),
            input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost
        FROM usage ORDER BY id""",  # noqa: S608
    "DROP TABLE usage",
    "CREATE INDEX usage_by_time ON usage_attempts (event_time)",
    "CREATE INDEX usage_by_key ON usage_attempts (access_key_id, event_time)",
    # CROSS JOIN: the kinds are looked up, never searched through
    """CREATE VIEW usage AS
        SELECT number, event_time, request_id, access_key_id, provider, provider_name, model, model_name, attempt,
            is_final, status, timed_out, is_error, is_streaming, key_source, stop_reason, input_tokens, output_tokens,
            cache_read_tokens, reasoning_tokens, cost, nullif(provider_key_id, '') AS provider_key_id,
            nullif(provider_key_name, '') AS provider_key_name, estimated, price_version, cache_write_tokens
        FROM usage_attempts CROSS JOIN usage_kinds USING (kind)""",
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_FIRST, _CACHE_WRITES, _LEAN_USAGE)
"""Step n leads from schema version n to n + 1."""

SCHEMA_VERSION: Final = len(MIGRATIONS)
