"""The error table (design rule 10)."""

from __future__ import annotations

import string

import pytest

from gateway.errors import ALL_FAILED, INVALID_BODY, TABLE, ErrorSpec, GatewayError, Source, failure


@pytest.mark.parametrize("spec", TABLE.values(), ids=lambda spec: spec.code)
def test_every_row_is_whole(spec: ErrorSpec) -> None:
    """A message that fits one line, an error status, and named arguments only."""
    assert 400 <= spec.status <= 599
    assert spec.message
    assert spec.message.isprintable()
    names = [name for _, name, _, _ in string.Formatter().parse(spec.message) if name is not None]
    assert all(name.isidentifier() for name in names)
    filled = failure(spec, **dict.fromkeys(names, "value"))
    assert "{" not in filled.message
    assert str(filled) == f"{filled.message} [{spec.code}]"


def test_a_client_s_mistake_is_no_server_error() -> None:
    """Who is at fault and the status agree."""
    assert [spec.code for spec in TABLE.values() if spec.source is Source.DOWNSTREAM and spec.status >= 500] == []


def test_overrides() -> None:
    """Status and headers of one error; the row stays as it is."""
    error = GatewayError(INVALID_BODY, {"reason": "too large"}, status=413, headers=(("retry-after", "1"),))
    assert (error.status, error.code, error.message) == (413, "ERR_NGROK_3801", "Invalid request body: too large")
    assert failure(INVALID_BODY, reason="x").status == INVALID_BODY.status == 400


def test_errors_are_exceptions_without_arguments_in_them() -> None:
    """What ``repr`` of a chained traceback shows is the code, not what a client sent."""
    assert failure(ALL_FAILED, reason="canary").args == ("ERR_NGROK_3807",)
