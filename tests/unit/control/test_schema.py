"""Shapes: what they refuse, in which order, and how they describe themselves (CP-7)."""

from __future__ import annotations

import pytest

from gateway.control.errors import BAD_VALUE, NAME_LONG, ApiError
from gateway.control.schema import Flag, ListOf, Member, Object, StringMap, Text, Whole, Words

SHAPE = Object(
    Member("name", Text(3, NAME_LONG), required=True),
    Member("count", Whole(1, 9), nullable=True),
    Member("on", Flag()),
    Member("kind", Words(("a", "b"))),
    Member("items", ListOf(Object(Member("id", Text(), required=True)), 2, least=1)),
    Member("labels", StringMap()),
    title="Thing",
)


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "27602", "name"),
        ({"name": "äöü", "more": 1}, "214", "more"),
        ({"name": "long", "on": 1}, "215", "on"),
        ({"name": "long"}, "27603", "name"),
        ({"name": None}, "215", "name"),
        ({"name": "a", "count": True}, "215", "count"),
        ({"name": "a", "count": 1.5}, "215", "count"),
        ({"name": "a", "count": "1"}, "215", "count"),
        ({"name": "a", "count": 10}, "27606", "count"),
        ({"name": "a", "kind": "c"}, "27606", "kind"),
        ({"name": "a", "items": []}, "27606", "items"),
        ({"name": "a", "items": [{"id": "x"}, {}]}, "27602", "items[1].id"),
        ({"name": "a", "items": [{"id": "x", "y": 1}]}, "214", "items[0].y"),
        ({"name": "a", "items": {}}, "215", "items"),
        ({"name": "a", "labels": {"x": 1}}, "215", "labels"),
        ([], "215", ""),
    ],
)
def test_cp_7_the_first_fault_of_the_lowest_status(body, code, field):
    with pytest.raises(ApiError) as caught:
        SHAPE.parse(body)
    assert (caught.value.code.code.removeprefix("ERR_NGROK_"), caught.value.field) == (code, field)


def test_members_that_were_not_sent_are_not_there():
    assert SHAPE.parse({"name": "äöü", "count": None}) == {"name": "äöü", "count": None}
    assert SHAPE.parse({"name": "a", "count": 9.0}) == {"name": "a", "count": 9}


def test_a_shape_describes_itself():
    schema = SHAPE.json_schema()
    assert schema["required"] == ["name"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["count"] == {
        "type": ["integer", "null"], "format": "int64", "minimum": 1, "maximum": 9,
    }  # fmt: skip
    assert schema["properties"]["items"]["maxItems"] == 2
    assert schema["properties"]["kind"]["enum"] == ["a", "b"]


def test_an_empty_text_may_have_a_code_of_its_own():
    with pytest.raises(ApiError) as caught:
        Object(Member("x", Text(5, NAME_LONG, 1, BAD_VALUE))).parse({"x": ""})
    assert caught.value.code is BAD_VALUE
