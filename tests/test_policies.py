"""The library in ``policies/``: every policy loads, does what its examples say, and is in the README."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from gateway.actions import ACTIONS
from gateway.cli.main import main
from gateway.cli.policy import options_of
from gateway.policy.json_schema import policy_json_schema
from gateway.policy.load import load_policy, policy_context
from gateway.policy_tools.cases import pair_of, run_file
from gateway.settings.environment import Environment
from gateway.settings.load import load_settings
from gateway.settings.model import Settings
from tests.schema_check import Checker

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "policies"
POLICIES = sorted(path for path in FOLDER.glob("*.yaml") if not path.stem.endswith(".test"))
NAMES = [path.stem for path in POLICIES]
#: what the guides name (seeds) → its file
GUIDES = {
    "one token": "authorization-one-token", "several tokens": "authorization-several-tokens",
    "X-API-Key": "authorization-x-api-key", "rate limiting": "authorization-rate-limited",
    "IP restrictions": "authorization-ip-restricted", "JWT": "authorization-jwt",
    "token rotation": "authorization-rotation", "limit behind gateway keys": "gateway-keys-rate-limited",
    "inline keys": "keys-inline", "vault keys": "keys-from-vault", "multi-key failover": "keys-failover",
    "key rotation": "keys-rotation", "quota": "keys-by-quota", "error rate": "keys-by-error-rate",
    "random": "keys-random", "multi-provider": "providers-several", "passthrough": "passthrough",
    "model restriction": "models-restricted",
}  # fmt: skip


@pytest.fixture(scope="module")
def settings() -> Settings:
    found, problems = load_settings({}, Environment({}))
    assert found is not None, str(problems)
    return found


def test_every_policy_of_the_guides_is_there() -> None:
    assert sorted(set(GUIDES.values()) - set(NAMES)) == []


@pytest.mark.parametrize("path", POLICIES, ids=NAMES)
def test_policy_does_what_its_examples_say(path: Path, settings: Settings) -> None:
    """Loads without an error; each of at least two cases passes and expects something."""
    result = run_file(str(path), options_of(settings), settings)
    assert [str(problem) for problem in result.problems] == []
    assert {case.name: case.failures for case in result.cases if case.failures} == {}
    assert len(result.cases) >= 2


@pytest.mark.parametrize("path", POLICIES, ids=NAMES)
def test_policy_teaches(path: Path) -> None:
    """It opens with a comment that says what it is for."""
    first = path.read_text().splitlines()[0]
    assert re.fullmatch(r"# [A-Z].{20,}", first), first


def test_nothing_else_lies_there() -> None:
    """Each file is a policy with examples, or the examples of one."""
    expected = {path for policy in POLICIES for path in pair_of(str(policy))}
    assert set(FOLDER.iterdir()) == expected


def test_warnings_are_those_that_are_explained(settings: Settings) -> None:
    """Examples about provider keys leave authorization to others; nothing else is worth a warning."""
    context = policy_context(ACTIONS, options_of(settings))
    codes = {
        f"{path.stem} {problem.code}"
        for path in POLICIES
        for problem in load_policy(path.read_bytes(), context, file=path.name)[1].warnings
        if problem.code != "ERR_TP_UNGUARDED"
    }
    assert codes == {"keys-inline ERR_NGROK_2203"}


def test_readme_lists_every_policy() -> None:
    listed = re.findall(r"^\| `policies/([\w-]+)\.yaml` \| \S", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == NAMES


@pytest.mark.parametrize("path", POLICIES, ids=NAMES)
def test_schema_accepts_every_policy(path: Path) -> None:
    """The JSON Schema for editors finds nothing wrong with what loads."""
    document = YAML(typ="safe").load(path.read_text())
    assert Checker(policy_json_schema(ACTIONS)).errors(document) == []


def test_schema_command(capsys: pytest.CaptureFixture[str]) -> None:
    """``gateway policy schema``: a valid schema that refuses what does not load."""
    assert main(["policy", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema == policy_json_schema(ACTIONS)
    checker = Checker(schema)
    assert checker.errors({"on_http_request": [{"type": "deny", "config": {"status_code": 403}}]}) == []
    assert checker.errors({"on_http_request": [{"type": "denny"}]})
    assert checker.errors({"on_http_request": [{"type": "deny", "config": {"status": 403}}]})
    assert checker.errors({"on_http_request": [{"actions": []}]})


def test_explain_shows_why_it_answered_401(capsys: pytest.CaptureFixture[str]) -> None:
    """The guides' first policy, a request without the header: the absent value and the rule that decided."""
    policy, cases = pair_of(str(FOLDER / "authorization-one-token.yaml"))
    assert main(["policy", "explain", str(policy), "--request", str(cases), "--case", "no header"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "req.headers['authorization'][0] → absent" in lines
    assert "'Bearer ' + secrets.get('gateway-auth', 'access-token') → \"Bearer ***\"" in lines
    assert "custom-response: answers 401" in lines
    assert "answered with 401 by on_http_request[0] only with our token" in lines
    assert not any("the-right-token" in line for line in lines)
