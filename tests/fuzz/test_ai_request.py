"""Any bytes as a body: parsed, or refused with 3801; what parses can be edited (AG-70, AG-211)."""

from __future__ import annotations

import json

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.ai.request import AiRequest, parse_request, scan_members
from gateway.ai.splice import BodyPlan, build_body
from gateway.ai.surfaces import CHAT
from gateway.errors import GatewayError

PIECES = st.sampled_from(
    [
        b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b'"model"', b'"models"', b'"a"', b"null", b"true", b"1", b"-0",
        b"1e5", b"1e999", b" ", b"\n", b"\xc3\xa9", b"\xff", b"\xed\xa0\x80", b'"\\ud800"', b'"mod\\u0065l"', b"\0",
        b"\xef\xbb\xbf", b"NaN",
    ]
)  # fmt: skip
MESSY = st.lists(PIECES, max_size=24).map(b"".join)
MEMBERS = st.lists(
    st.tuples(
        st.sampled_from([b'"model"', b'"models"', b'"a"', b'"mod\\u0065l"', b'"\\ud800"', b'""']),
        st.sampled_from([b"1", b'"model"', b'["a"]', b"null", b'{"model":{"a":[]}}', b"1e999", b'"\\ud800"', b" [ ] "]),
    ),
    max_size=5,
).map(lambda members: b"{" + b",".join(b":".join(member) for member in members) + b"}")
PLAN = BodyPlan(model="m", model_text=b'"m"', deny=frozenset({"a", ""}), plain=False)


@given(body=MESSY | MEMBERS | st.binary(max_size=64))
@example(body=b'{"a":1,"\\u0061":2}')
@example(body=b'{"\\ud800":1,"a":2}')
@example(body=b'{"a":1e999}')
def test_any_bytes(body: bytes) -> None:
    request = parsed(body)
    if isinstance(request, AiRequest):
        check(request, body)
    else:
        assert request.code == "ERR_NGROK_3801"
        assert request.message.encode()


def parsed(body: bytes) -> AiRequest | GatewayError:
    try:
        return parse_request(CHAT, body)
    except GatewayError as error:
        return error


def check(request: AiRequest, body: bytes) -> None:
    """The walk and the quick search agree; the edited body is what it should be."""
    members = scan_members(body)
    assert list(members) == list(request.document)
    for name, member in members.items():
        assert request.member(name) == member
    edited = json.loads(build_body(request, PLAN).data)
    assert edited == {n: v for n, v in json.loads(body).items() if n not in {"a", "", "models"}} | {"model": "m"}


@given(
    body=st.recursive(
        st.none() | st.text(max_size=3), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner)
    )
)
def test_valid_documents_are_refused_only_for_their_meaning(body: object) -> None:
    try:
        data = orjson.dumps(body)
    except TypeError:
        return
    request = parsed(data)
    if isinstance(request, AiRequest):
        assert request.document == body
    else:
        assert not isinstance(body, dict) or "model" in body or "models" in body
