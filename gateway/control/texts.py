"""The text members that most resources share, and how updates of them are applied (CP-17)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.control.errors import (
    B_DESCRIPTION_LONG,
    B_METADATA_LONG,
    BAD_VALUE,
    METADATA_LONG,
    NAME_LONG,
    Code,
)
from gateway.control.schema import DESCRIPTION_LONGEST, METADATA_LONGEST, Flag, ListOf, Member, Object, Shape, Text

NAME_LONGEST = 255
ANY = Text()
TIME = Text(format="date-time")
REF = Object(Member("id", ANY, required=True), Member("uri", ANY, required=True), title="Ref")


def labels(
    *, nullable: bool = False, name: Code = NAME_LONG, description: Code = BAD_VALUE, metadata: Code = METADATA_LONG
) -> tuple[Member, Member, Member]:
    """``name``, ``description`` and ``metadata`` of a resource, all optional."""
    return (
        Member("name", Text(NAME_LONGEST, name), nullable=nullable),
        *notes(description, metadata, nullable=nullable),
    )


def notes(
    description: Code = B_DESCRIPTION_LONG, metadata: Code = B_METADATA_LONG, *, nullable: bool = False
) -> tuple[Member, Member]:
    """``description`` and ``metadata``."""
    return (
        Member("description", Text(DESCRIPTION_LONGEST, description), nullable=nullable),
        Member("metadata", Text(METADATA_LONGEST, metadata), nullable=nullable),
    )


def read_a(*members: Member) -> tuple[Member, ...]:
    """What style A shows of every resource, and these."""
    return (
        Member("id", ANY, required=True),
        Member("uri", ANY, required=True),
        Member("createdAt", TIME, required=True),
        Member("updatedAt", TIME, required=True),
        Member("createdBy", REF, required=True),
        Member("lastUpdatedBy", REF, required=True),
        *members,
    )


def read_b(*members: Member, actor: Shape = REF) -> tuple[Member, ...]:
    """What style B shows of every resource, and these."""
    return (
        Member("id", ANY, required=True),
        Member("uri", ANY, required=True),
        Member("created_at", TIME, required=True),
        Member("updated_at", TIME, required=True),
        Member("created_by", actor, required=True),
        Member("last_updated_by", actor, required=True),
        Member("description", ANY, required=True),
        Member("metadata", ANY, required=True),
        *members,
    )


def list_of(member: str, item: Object, *, style_b: bool = False) -> Object:
    """The page of a resource."""
    next_name = "next_page_uri" if style_b else "nextPageUri"
    return Object(
        Member(member, ListOf(item), required=True),
        Member("uri", ANY, required=True),
        Member(next_name, ANY, required=True, nullable=True),
        title=f"{item.title}List",
    )


def picked(body: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Members that were sent, by the name of their column."""
    return {name: body[name] for name in names if name in body}


FLAG = Flag()
