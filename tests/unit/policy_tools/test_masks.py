"""Nothing secret is shown (TP-628)."""

from __future__ import annotations

from gateway.policy_tools.masks import Mask, sent_credentials


def test_secrets_and_credentials() -> None:
    mask = Mask({"s3cret", "s3cret-longer", ""}, {"from-the-caller", "abc"})
    shown = mask.hide({"s3cret": ["Bearer s3cret-longer", 7, None], "b": {"c": "x from-the-caller y", "d": "abc"}})
    assert shown == {"***": ["Bearer ***", 7, None], "b": {"c": "x ***(sent) y", "d": "abc"}}


def test_what_is_a_credential() -> None:
    headers = {
        "authorization": ["Bearer t0ken-a"], "x-api-key": ["k3y"], "cookie": ["a=b; c=d"],
        "x-team-token": ["two words"], "accept": ["text/html"], "user-agent": ["x"],
    }  # fmt: skip
    found = sent_credentials(headers, "key=q%20k&model=m&api_key=z")
    assert found == {"t0ken-a", "k3y", "a=b; c=d", "words", "q%20k", "q k", "z"}
