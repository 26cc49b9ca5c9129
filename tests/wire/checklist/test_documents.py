"""Checklist: where policies stand and what is wrong in them (CL-30, CL-73, CL-81, CL-87, CL-90, CL-91)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gateway.cli.policy import check_files
from gateway.settings.environment import Environment
from gateway.settings.load import load_settings
from gateway.settings.model import Settings
from tests.unit.policy.test_load import wrong_policies
from tests.wire.checklist.service import answer
from tests.wire.checklist.stage import NOTATIONS, Row, Stage, play, row, rows, with_policy

POLICY = "on_http_request: [{type: custom-response, config: {body: '${req.method} it'}}]"


def configured(file: str, **others: str) -> Callable[[Settings], Settings]:
    """The endpoints of a configuration file that stands beside other files."""

    def change(settings: Settings) -> Settings:
        with TemporaryDirectory() as folder:
            for name, text in {"gateway.yml": file, **others}.items():
                (Path(folder) / name.replace("_", ".")).write_text(text)
            path = str(Path(folder) / "gateway.yml")
            found, problems = load_settings({"config": path, "admin_listen": "127.0.0.1:0"}, Environment({}))
        assert found is not None, str(problems)
        return replace(settings, endpoints=found.endpoints)

    return change


async def it_answers(stage: Stage) -> None:
    assert (await stage.ask()).text == "GET it"


CONFIGURATION = """\
endpoints:
  - listen: 127.0.0.1:0
"""


@row(30, None, change=configured(f"{CONFIGURATION}    traffic_policy:\n      {POLICY}\n"))
async def inside_a_configuration_file(stage: Stage) -> None:
    await it_answers(stage)


@row(30, None, change=configured(f"{CONFIGURATION}    traffic_policy: |\n      {POLICY}\n"))
async def as_a_string_in_a_configuration_file(stage: Stage) -> None:
    await it_answers(stage)


ESCAPED = json.dumps({"on_http_request": [{"type": "custom-response", "config": {"body": "${req.method} it"}}]})


@row(
    30, None,
    change=configured(json.dumps({"endpoints": [{"listen": "127.0.0.1:0", "traffic_policy": ESCAPED}]})),
)  # fmt: skip
async def as_an_escaped_string_in_json(stage: Stage) -> None:
    await it_answers(stage)


@row(30, json.dumps(f"{POLICY}\n# the end\n"))
async def as_a_string_that_holds_a_string(stage: Stage) -> None:
    """TP-4: parsed once more, and only once."""
    await it_answers(stage)


@row(30, None, change=configured(f"{CONFIGURATION}    traffic_policy_file: policy.yaml\n", policy_yaml=POLICY))
async def in_a_file_of_its_own(stage: Stage) -> None:
    await it_answers(stage)


@row(30, f"traffic_policy:\n  {POLICY}\n")
async def in_a_wrapper(stage: Stage) -> None:
    assert any("traffic_policy" in warning for warning in stage.warnings()), "TP-6"
    await it_answers(stage)


@row(
    73,
    """
        inbound:
          - {type: add-headers, config: {headers: {x-in: "1"}}}
        outbound:
          - {type: add-headers, config: {headers: {x-out: "1"}}}
    """,
    forwards=True,
)
async def older_names_of_phases(stage: Stage) -> None:
    assert sum("inbound" in warning or "outbound" in warning for warning in stage.warnings()) == 2
    answered = await stage.ask()
    assert (answered.sent("x-in"), answered.headers["x-out"]) == (["1"], "1")


DENY_ALL = "on_http_request: [{type: deny}]"


@row(73, json.dumps({"enabled": False, "value": DENY_ALL}), forwards=True)
async def envelope_that_is_off(stage: Stage) -> None:
    assert any("protects nothing" in warning for warning in stage.warnings()), stage.warnings()
    assert (await stage.ask()).status == 200


@row(73, json.dumps({"enabled": True, "value": DENY_ALL}), forwards=True)
async def envelope_that_is_on(stage: Stage) -> None:
    assert (await stage.ask()).status == 403


@row(73, f"{DENY_ALL}\nenabled: false\n", forwards=True)
async def switched_off_beside_the_phases(stage: Stage) -> None:
    assert (await stage.ask()).status == 200


@row(73, f"{POLICY}\non_http_response: []\non_tcp_connect:\non_event_stream_message: null\n")
async def empty_phases(stage: Stage) -> None:
    await it_answers(stage)


@row(
    81,
    """
        on_http_response:
          - expressions: ["res.status_code < '200' && res.status_code >= '300'"]
            actions: [{type: log, config: {metadata: {message: Unsuccessful}}}]
    """,
    forwards=True,
)
async def number_against_string(stage: Stage) -> None:
    stage.service.otherwise = answer("the upstream's own text")
    answered = await stage.ask()
    assert (answered.status, answered.code) == (500, "ERR_NGROK_2254")
    assert "the upstream's own text" not in answered.text


@row(
    87,
    """
        on_http_request:
          - type: set-vars
            config: {vars: [{method: req.method}, {list: [req.url.path, "1 + 1"]}]}
          - type: custom-response
            config: {body: "${vars.method} ${vars.list}"}
    """,
)
async def plain_strings_are_literal(stage: Stage) -> None:
    assert (await stage.ask()).text == 'req.method ["req.url.path","1 + 1"]'


@row(91, POLICY)
async def a_bad_policy_changes_nothing(stage: Stage) -> None:
    await it_answers(stage)
    good = stage.gateway.settings
    for wrong in ("on_http_request: [{type: dney}]", "on_http_request: [", "", "on_http_request: [{expressions: [x]}]"):
        stage.gateway.settings = with_policy(good, wrong)
        problems = await stage.gateway.process.reload()
        assert any(found.failed for found in problems)
        assert stage.gateway.process.snapshot is not None
        assert stage.gateway.process.snapshot.stale
        await it_answers(stage)
    await stage.reload(POLICY.replace("it", "that"))
    assert (await stage.ask()).text == "GET that"


@row(90, POLICY)
async def options_that_refuse(stage: Stage) -> None:
    """TP-18: what may leave a request unhandled is an error where the operator wants that."""
    settings = stage.gateway.settings
    (endpoint,) = settings.endpoints
    strict = replace(
        settings,
        policy=replace(settings.policy, require_termination=True),
        endpoints=(replace(endpoint, ai_gateway=False),),
    )
    for text, refused in ((POLICY, False), ("on_http_request: [{type: log, config: {metadata: {a: b}}}]", True)):
        stage.gateway.settings = with_policy(strict, text)
        problems = await stage.gateway.process.reload()
        assert ("ERR_NGROK_2235" in " ".join(map(str, problems))) is refused
        assert any(found.failed for found in problems) is refused


ROWS = rows(globals())


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("each", ROWS, ids=str)
async def test_row(each: Row, notation: str) -> None:
    await play(each, notation)


@pytest.mark.parametrize(("document", "expected"), wrong_policies())
def test_wrong_document_at_the_command_line(
    document: str, expected: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CL-90: the table of wrong documents, as ``gateway policy check`` reports it."""
    file = tmp_path / ("wrong.json" if document.startswith("{") else "wrong.yaml")
    file.write_text(document)
    assert check_files([str(file)]) == 1
    *printed, summary = capsys.readouterr().out.splitlines()
    reported = [line.removeprefix(f"{file}:").replace(": ", " ", 1).replace("ERR_NGROK_", "") for line in printed]
    assert [line.split(":", 2)[0] + ":" + line.split(":", 2)[1] for line in reported] == expected
    assert summary.startswith("1 file: ")


def long_policy(rules: int = 1, actions: int = 1, expression: str = "true", name: str = "n") -> str:
    action = {"type": "log", "config": {"metadata": {"a": "b"}}}
    entry = {"name": name, "expressions": [expression], "actions": [action] * actions}
    return json.dumps({"on_http_request": [entry] * rules})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (long_policy(200, 1), ""),
        (long_policy(201, 1), "2264"),
        (long_policy(1, 50), ""),
        (long_policy(1, 51), "2265"),
        (long_policy(expression=f"'{'x' * 16_375}' != ''"), ""),
        (long_policy(expression=f"'{'x' * 16_400}' != ''"), "2255"),
        (long_policy(name="n" * 1_023), ""),
        (long_policy(name="n" * 1_024), "2255"),
        ("x" * ((1 << 20) + 1), "2236"),
    ],
)
def test_limits_of_documents(text: str, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CL-90: TP-25 and TP-3."""
    file = tmp_path / "long.json"
    file.write_text(text)
    assert check_files([str(file)]) == (1 if code else 0)
    assert (f"error ERR_NGROK_{code}: " in capsys.readouterr().out) is bool(code)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (f"{CONFIGURATION}    traffic_policy: {{{POLICY}}}\n    traffic_policy_file: p.yaml\n", "exclude each other"),
        (f"endpoints: []\n{POLICY}\n", "belongs under 'traffic_policy'"),
        (f"{CONFIGURATION}    on_http_request: []\n", "belongs under 'traffic_policy'"),
        (f"{CONFIGURATION}    traffic_policy_file: missing.yaml\n", "no such file"),
    ],
)
def test_policies_in_the_wrong_place(file: str, words: str, tmp_path: Path) -> None:
    """CL-90: TP-5."""
    (tmp_path / "gateway.yml").write_text(file)
    (tmp_path / "p.yaml").write_text(POLICY)
    settings, problems = load_settings({"config": str(tmp_path / "gateway.yml")}, Environment({}))
    assert settings is None
    assert words in str(problems)
