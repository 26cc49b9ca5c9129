"""Our own document: complete, and true to what is served (CP-1 ff.)."""

from __future__ import annotations

import re

import pytest

from gateway.control.openapi import build_document
from gateway.control.request import Reply, Route
from gateway.control.routes import ROUTES, Router
from gateway.control.schema import Member, Object, Text


async def test_the_document_describes_every_route_and_itself(api):
    document = (await api.get("/openapi.json")).json
    assert document["openapi"] == "3.1.0"
    served = {(route.path, route.method.lower()) for route in ROUTES} | {("/openapi.json", "get")}
    served |= {(route.path, "head") for route in ROUTES if route.head} | {("/openapi.json", "head")}
    assert {(path, method) for path, methods in document["paths"].items() for method in methods} == served
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))
    schemas = set(document["components"]["schemas"])
    used = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert used == schemas


async def test_public_paths_need_no_key_in_the_document(api):
    paths = (await api.get("/openapi.json")).json["paths"]
    assert paths["/healthz"]["get"]["security"] == paths["/readyz"]["head"]["security"] == []
    assert "security" not in paths["/vaults"]["get"]


async def _nothing(plane, call):
    return Reply(204)


def test_two_shapes_of_one_name_are_a_mistake():
    one, two = (Object(Member(name, Text()), title="Thing") for name in ("a", "b"))
    routes = [Route(method="GET", path=f"/{at}", name=at, handler=_nothing, result=shape)
              for at, shape in (("x", one), ("y", two))]  # fmt: skip
    with pytest.raises(ValueError, match="Thing"):
        build_document(routes)


def test_a_route_cannot_be_listed_twice():
    route = Route(method="GET", path="/x", name="x", handler=_nothing)
    with pytest.raises(ValueError, match="twice"):
        Router([route, route])


def test_paths_are_matched_by_segments():
    router = Router(ROUTES)
    assert router.find("GET", "/vaults/vault_1/secrets").item == "vault_1"
    assert router.find("GET", "/usage/overview").route.name == "GetUsageOverview"
    assert router.find("POST", "/provider-keys/a%2Fb/rotate").item == "a/b"
    assert router.is_public("GET", "/healthz")
    assert not router.is_public("POST", "/healthz")
    assert not router.is_public("GET", "/vaults")
