"""Body edits against the obvious way: parse, edit, compare (AG-211, AG-218)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ai.request import parse_request, scan_members
from gateway.ai.splice import BodyPlan, build_body, encode_overrides
from gateway.ai.surfaces import CHAT
from gateway.errors import GatewayError

NAMES = st.sampled_from(
    ["model", "models", "stream", "max_tokens", "user", "a", "ä", 'q"uote', "back\\slash", "", "\n", "€"]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**25), max_value=10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | NAMES
    | st.sampled_from(["\ud800", '","model":"', "}", "{", "\u2028"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
DOCUMENTS = st.dictionaries(NAMES | st.text(max_size=5), VALUES, max_size=8).map(
    lambda document: {
        name: value if name not in {"model", "models"} else "m" if name == "model" else ["x"]
        for name, value in document.items()
    }
)
BLANKS = st.sampled_from(["", " ", "\n  ", "\t", "\r\n"])


@st.composite
def bodies(draw) -> tuple[dict[str, Any], bytes]:
    """A document and one of its many spellings."""
    document = draw(DOCUMENTS)
    escape = draw(st.booleans())
    blank = draw(BLANKS)
    members = []
    for name, value in document.items():
        compact = draw(st.booleans())
        text = json.dumps(value, ensure_ascii=escape, separators=(",", ":") if compact else None)
        members.append(f"{blank}{json.dumps(name, ensure_ascii=escape)}{draw(BLANKS)}:{blank}{text}{draw(BLANKS)}")
    text = f"{blank}{{{','.join(members) or draw(BLANKS)}}}{draw(BLANKS)}"
    try:
        return document, text.encode()
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8 form; escaped it has a spelling
        return document, json.dumps(document).encode()


@st.composite
def plans(draw) -> BodyPlan:
    model = draw(st.sampled_from(["m", "other", "ö"]))
    allow = draw(st.none() | st.frozensets(NAMES, max_size=6).map(lambda names: names | {"model"}))
    deny = draw(st.frozensets(NAMES, max_size=3)) - {"model"}
    return BodyPlan(
        model=model, model_text=json.dumps(model).encode(), allow=allow, deny=deny, plain=allow is None and not deny
    )


def expected_document(document: dict[str, Any], plan: BodyPlan, overrides: dict[str, Any]) -> dict[str, Any]:
    result = {name: value for name, value in document.items() if name != "models"} | {"model": plan.model} | overrides
    return {
        name: value
        for name, value in result.items()
        if (plan.allow is None or name in plan.allow) and name not in plan.deny
    }


@given(
    body=bodies(),
    plan=plans(),
    overrides=st.dictionaries(NAMES.filter(lambda n: n not in {"model", "models"}), VALUES, max_size=3),
)
def test_edits_mean_what_they_say(body, plan, overrides):
    """Same members, same order, same values as editing the parsed document."""
    document, data = body
    result = build_body(parse_request(CHAT, data), plan, encode_overrides(overrides)).data
    edited = json.loads(result)
    assert edited == expected_document(document, plan, overrides)
    kept = [name for name in document if name in edited]
    assert [name for name in edited if name in document] == kept


@given(body=bodies(), plan=plans())
def test_untouched_members_keep_their_bytes(body, plan):
    document, data = body
    request = parse_request(CHAT, data)
    result = build_body(request, plan).data
    for name, member in scan_members(result).items():
        if name in document and name != "model":
            before = request.member(name)
            assert result[member.start : member.end] == data[before.start : before.end]


@given(body=bodies())
def test_nothing_to_do_is_the_same_object(body):
    document, data = body
    if document.get("model") == "m" and "models" not in document:
        assert build_body(parse_request(CHAT, data), BodyPlan(model="m", model_text=b'"m"')).data is data


@given(body=bodies(), name=NAMES)
def test_a_second_member_of_a_name_is_refused(body, name):
    """AG-218."""
    document, data = body
    if name in document:
        end = data.rindex(b"}")
        doubled = data[:end] + b"," + json.dumps(name).encode() + b":1}"
        with pytest.raises(GatewayError, match="given twice"):
            parse_request(CHAT, doubled)
