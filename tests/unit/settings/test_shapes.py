"""Shapes of sections: names, units, defaults (AG appendix A, TP-25)."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from gateway.schema.shapes import REQUIRED, Record
from gateway.settings import model, shapes

SECTIONS: dict[type, Record[Any]] = {
    model.AiSettings: shapes.AI,
    model.PolicySettings: shapes.POLICY,
    model.ServerSettings: shapes.SERVER,
    model.AdminSettings: shapes.ADMIN,
    model.GeoipSettings: shapes.GEOIP,
    model.SecretsSettings: shapes.SECRETS,
    model.SecuritySettings: shapes.SECURITY,
    model.UsageSettings: shapes.USAGE,
    model.LogSettings: shapes.LOG,
    model.EventsSettings: shapes.EVENTS,
    model.IpPolicySettings: shapes.IP_POLICY,
}


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_value_can_be_set(section: type) -> None:
    """A field that no file can set is no setting; units are left out of names."""
    names = {field.name.removesuffix("_s").removesuffix("_bytes") for field in fields(section)}
    assert set(SECTIONS[section].fields) == names


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_setting_says_what_it_is(section: type) -> None:
    assert [name for name, field in SECTIONS[section].fields.items() if not field.doc] == []


def test_defaults_are_the_model_s() -> None:
    assert shapes.AI.fields["connect_timeout"].default == model.AiSettings().connect_timeout_s == 10.0
    assert shapes.AI.fields["max_body"].default == model.AiSettings().max_body_bytes == 32 << 20
    assert shapes.IP_POLICY.fields["id"].default is REQUIRED
