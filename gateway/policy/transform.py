"""Changing an answer's bytes on their way to the client, one piece at a time (``ResponseHead.transforms``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class BodyTransform(Protocol):
    """Fed with a body's bytes in order, then finished once; the length of the result is not known before."""

    def feed(self, payload: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class TransformChain:
    """Several transforms as one, in order."""

    __slots__ = ("_transforms",)

    def __init__(self, transforms: Sequence[BodyTransform]) -> None:
        self._transforms = tuple(transforms)

    def feed(self, payload: bytes) -> bytes:
        for transform in self._transforms:
            payload = transform.feed(payload) if payload else b""
        return payload

    def finish(self) -> bytes:
        """What each still holds, through those behind it."""
        payload = b""
        for transform in self._transforms:
            payload = (transform.feed(payload) if payload else b"") + transform.finish()
        return payload

    def whole(self, body: bytes) -> bytes:
        """A body that is all there."""
        return self.feed(body) + self.finish()
