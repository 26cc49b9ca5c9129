"""What is fuzzed and what must hold: the policy loader, the expression front end, the rules over event streams."""

from __future__ import annotations

import ast
import json
import random
import re
from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from gateway.actions import ACTIONS
from gateway.ai.build import GatewayBuilder
from gateway.cel.compile import Program, compile_expression
from gateway.cel.env import Environment
from gateway.cel.errors import CelError, EvaluationError
from gateway.cel.template import Template, compile_template
from gateway.policy.action import RuntimeRegistry
from gateway.policy.compile import CompiledPhase, compile_policy
from gateway.policy.load import load_policy, policy_context
from gateway.policy.model import Phase
from gateway.policy.options import PolicyOptions
from gateway.policy.stream import StreamRuleError, StreamRules
from tests.fuzz.mutations import Target
from tests.unit.actions.policies import Policies
from tests.unit.cel.hosts import ENVIRONMENT, UNCHECKED, alike, outcome, request

_TESTS = Path(__file__).parents[1]
_INTERPOLATION = re.compile(r"\$\{([^}]+)\}")
_CONTEXT = policy_context(ACTIONS, PolicyOptions(catalog_providers=frozenset(("openai", "anthropic"))))
_DETAIL = re.compile(r"'[^']*'|\"[^\"]*\"|\d+|\(did you mean.*|:.*", re.S)

_YAML = [
    "on_http_request:", "on_http_response:", "on_tcp_connect:", "on_event_stream_message:", "inbound:", "expressions:",
    "- ", "  ", "\n", "\t", "type: deny", "config: {}", "actions:", "name: x", "enabled: false", "traffic_policy:",
    "!x ", "&a ", "*a", "<<: *a", "|\n", ">-\n", "---\n", "...\n", "# ", "null", "~", "[]", "{}", '"', "'", ": ",
    "%YAML 1.1\n", "${req.id}", "${", "$${", "${secrets.get('v', 'n')}", "req.headers['a'][0]", "1e400", "0o17", "10m",
    "100/min", "10.0.0.0/8", "::/0", "\u00e9", "\U0001f600", "\0", "\ufeff", "\x85", "\u2028", "\r\n", *ACTIONS,
]  # fmt: skip
_CEL = [
    "vars", "vars.a", "req", "req.headers", "req.url", "['x']", "[0]", ".a", ".size()", ".map(x, x)",
    ".filter(x, true)", ".all(x, x)", ".exists(x, x == 1)", ".sortBy(x, x)", ".flatten()", ".join(',')",
    ".format([1])", ".matches('a')", "has(", "size(", "int(", "string(", "timestamp(", "duration(", "lists.range(9)",
    "inCidrRange(", "json.decode(", "secrets.get('v', 'n')", "(", ")", "[", "]", "{", "}", ",", ":", "?", "&&", "||",
    "!", "-", "+", "*", "/", "%", "==", "!=", "<", ">=", " in ", "null", "true", "1u", "'a'", '"b"', "r'\\'",
    "b'\\xff'", "'''", "`a-b`", "//c\n", "${", "$", "\\", "\u00e9", "\ud800", "\0", "ai.keys", "ai.models",
    "k.quota.requests", "'(?='", "'(a*)*b'", "'a{999}{999}'",
]  # fmt: skip
_SSE = [
    "\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n", "\n\r", "data:", "data: ", "data: x", "event: ping",
    "event: error", "id: 1", "retry: 10", "retry: x", "retry: 99999999999999999999", ": comment", ":", "[DONE]",
    "secret", "drop", "stop", "\xef\xbb\xbf", "\xe2\x82\xac", "\xe2\x82", "\xff", "\0",
    '{"choices":[{"delta":{"content":"secret"}}]}', "data", "x",
]  # fmt: skip


def told(message: str) -> str:
    """A message without the names and numbers in it: inputs that are refused alike are alike."""
    return _DETAIL.sub("", message)


def placed(error: CelError, text: str) -> CelError:
    """The error, which must stand inside the text."""
    assert 0 <= error.offset <= len(text)
    assert 1 <= error.line <= text.count("\n") + 1
    assert error.column >= 1
    return error


def explained(message: str) -> str:
    """What a program says of a failure, which must not be one of its own."""
    assert not message.startswith("internal error"), message
    return told(message)


@cache
def policies() -> list[str]:
    """The library, the seeds' policies, and the wrong ones that the loader's tests list."""
    paths = [
        *sorted((_TESTS.parent / "policies").glob("*.yaml")),
        *sorted((_TESTS / "unit/policy/seeds").glob("*.yaml")),
    ]
    wrong = (_TESTS / "unit/policy/wrong_policies.txt").read_text().split("\n===")[1:]
    texts = [path.read_text() for path in paths if not path.name.endswith(".test.yaml")]
    return texts + [re.sub(r"^>.*\n", "", text.partition("\n")[2], flags=re.M) for text in wrong]


class _NoGateway:
    """Stands for the gateway that an ``ai-gateway`` action builds: nothing is asked here."""

    def action(self, config: object, endpoint: str) -> None:
        """Nothing."""


class Loader:
    """A policy's text: nothing is raised, problems stand inside it, what loads compiles (TP-20 to TP-24)."""

    name = "loader"
    tokens: Sequence[str] = _YAML

    def __init__(self) -> None:
        self._deps = Policies(services={GatewayBuilder: _NoGateway()}).deps

    def corpus(self) -> list[str]:
        sound = [load_policy(text, _CONTEXT)[0] is not None for text in policies()]
        assert sum(sound) > 40
        return policies()

    def check(self, text: str) -> Hashable:
        policy, problems = load_policy(text, _CONTEXT, file="p.yaml")
        assert (policy is None) == problems.failed
        lines = len(re.split(r"\r\n|[\n\r\x85\u2028\u2029]", text))
        for problem in problems:
            assert 1 <= problem.line <= (lines + 1 if problem.file == "p.yaml" else 1 << 20), problem
            assert problem.column >= 1, problem
            assert problem.code.startswith(("ERR_NGROK_", "ERR_TP_")), problem
            assert problem.message, problem
            json.dumps(str(problem))
        if policy is not None:
            deps = replace(self._deps, claimed=set(), runtime=RuntimeRegistry())
            compile_policy(policy, ACTIONS, deps)
        return frozenset((problem.code, told(problem.message.rpartition(": ")[2])) for problem in problems)


class Expressions:
    """An expression's text: refused with a place inside it, or a program whose every failure has a place; typed and
    untyped programs agree (cel.md 6). The same for templates."""

    name = "cel"
    tokens: Sequence[str] = _CEL

    def __init__(self) -> None:
        self._scope = request(x="1", authorization=["Bearer a", "b"])
        self._scope.vars = {"a": [1, "b", None, {"c": 2.5}], "s": "text", "n": 3, "m": {"k": [True]}}

    def corpus(self) -> list[str]:
        vectors = json.loads((_TESTS / "differential/cel_spec_vectors.json").read_text())
        ours = {found for text in policies() for found in _INTERPOLATION.findall(text)}
        for text in policies():
            policy, _ = load_policy(text, _CONTEXT)
            rules = [rule for phase in policy.phases.values() for rule in phase] if policy is not None else []
            ours.update(expression for rule in rules for expression in rule.expressions)
        for path in (_TESTS / "unit/cel").glob("test_*.py"):
            constants = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
            ours.update(text for text in constants if isinstance(text, str) and len(text) < 200)
        assert len(ours) > 800, len(ours)
        return sorted(ours | {vector["expr"] for vector in vectors})

    def check(self, text: str) -> Hashable:
        typed, untyped = self._program(text, ENVIRONMENT), self._program(text, UNCHECKED)
        behaviour = (self._behaviour(typed, text), self._behaviour(untyped, text), self._template(text))
        if isinstance(typed, Program) and isinstance(untyped, Program) and self._comparable(typed):
            one, two = outcome(typed, self._scope), outcome(untyped, self._scope)
            assert alike(one, two), f"{one!r} with types, {two!r} without"
        return behaviour

    def _comparable(self, program: Program) -> bool:
        """Elsewhere the declared types give absent values their meaning (TP-80)."""
        return program.pure and all(name.partition(".")[0] == "vars" for name in program.reads)

    def _program(self, text: str, environment: Environment) -> Program | CelError:
        try:
            return compile_expression(text, environment)
        except CelError as error:
            return placed(error, text)

    def _behaviour(self, program: Program | CelError, text: str) -> Hashable:
        if isinstance(program, CelError):
            return told(program.message)
        result = outcome(program, self._scope)
        if not isinstance(result, EvaluationError):
            return type(result), program.type.kind, len(program.warnings)
        assert 0 <= result.offset <= len(text)
        return explained(result.message)

    def _template(self, text: str) -> Hashable:
        try:
            template: Template = compile_template(text, ENVIRONMENT)
        except CelError as error:
            return told(placed(error, text).message)
        try:
            assert isinstance(template.render(self._scope), str)
        except Exception as error:  # noqa: BLE001 - programs raise anything
            return explained(template.locate(error).message)
        return template.whole, template.literal is None


_STREAM_POLICIES = (
    """
    on_event_stream_message:
      - type: sse-find-replace
        config: {replacements: [{from: 's[e]cret', to: 'xx'}, {from: '^$', to: "a\\nb"}]}
    """,
    """
    on_event_stream_message:
      - expressions: ["sse.data.contains('drop') || sse.event == 'error'"]
        type: sse-find-replace
        config: {replacements: [{field: retry, from: '1', to: '22'}, {from: '.*', to: "\\r"}]}
      - expressions: ["json.decode(sse.data).stop == true || sse.data == 'stop' && sse.index > vars.x"]
        type: log
        config: {metadata: {index: '${sse.index}'}}
    """,
    """
    on_event_stream_message:
      - expressions: ["sse.index >= 3 && sse.retry > 5"]
        type: sse-find-replace
        config: {replacements: [{from: 'x', to: ''}]}
    """,
)


class Streams:
    """Bytes of an event stream: however they are cut, the rules give the same bytes and the same end (TP-445, P12).

    An input's characters are bytes (latin-1).
    """

    name = "sse"
    tokens: Sequence[str] = _SSE
    #: small, so that mutants reach it
    limit_bytes = 400

    def __init__(self) -> None:
        self._policies = Policies()
        self._phases: list[CompiledPhase] = [
            self._policies.compile(text).phases[Phase.STREAM] for text in _STREAM_POLICIES
        ]
        self._draw = random.Random(1)

    def corpus(self) -> list[str]:
        chat = "".join(
            f'data: {{"id":"c","choices":[{{"index":0,"delta":{{"content":"{word}"}}}}]}}\n\n'
            for word in ("a", "secret", "€")
        )
        chat += "data: [DONE]\n\n"
        messages = (
            'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"secret"}}\n\n'
            "event: ping\ndata: {}\n\n: comment\n\nretry: 10\nid: 7\ndata: drop\ndata: x\n\ndata: stop\n\n"
        )
        counted = "data: 1\n\ndata: 2\n\ndata: 3\n\nretry: 9\ndata: x4\n\n"
        large = "data: " + "x" * 500 + "\n\n"
        others = [
            chat.replace("\n", "\r\n"),
            messages.replace("\n", "\r"),
            "\ufeff" + chat,
            counted,
            counted + large,
            "",
        ]
        return [text.encode().decode("latin-1") for text in (chat, messages, *others)]

    def check(self, text: str) -> Hashable:
        stream = text.encode("latin-1", "replace")[:600]
        phase = self._phases[len(stream) % len(self._phases)]
        expected = self.answer(phase, [stream])
        for at in range(len(stream) + 1):
            assert self.answer(phase, [stream[:at], stream[at:]]) == expected, at
        assert self.answer(phase, [stream[at : at + 1] for at in range(len(stream))]) == expected
        for _ in range(3):
            cuts = sorted(self._draw.choices(range(len(stream) + 1), k=self._draw.randint(2, 6)))
            pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
            assert self.answer(phase, pieces) == expected, cuts
        sent, code = expected
        return code, sent == stream, self._phases.index(phase), min(sent.count(b"\n\n"), 6), b"\r" in sent

    def answer(self, phase: CompiledPhase, pieces: Sequence[bytes]) -> tuple[bytes, str]:
        """What the client gets, and the error's code that ends the stream."""
        rules = StreamRules(self._policies.exchange(), phase, limit_bytes=self.limit_bytes)
        out: list[bytes] = []
        try:
            out.extend(rules.feed(piece) for piece in pieces)
            out.append(rules.finish())
        except StreamRuleError as error:
            out.append(error.sent)
            return b"".join(out), error.error.code
        return b"".join(out), ""


TARGETS: dict[str, type[Target]] = {"loader": Loader, "cel": Expressions, "sse": Streams}
