"""Commands, flags and exit statuses (SV-1, SV-2)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gateway import __version__
from gateway.cli.main import build_parser, main
from gateway.problems import Problems, Severity
from gateway.settings import Settings
from gateway.settings.environment import read_environment
from gateway.settings.load import FLAGS


class App(ModuleType):
    """Stands in for the composition root: keeps the settings that it was asked to run."""

    def __init__(self) -> None:
        super().__init__("gateway.app.run")
        self.ran: list[tuple[str, Settings]] = []
        self.problems = Problems("policy.yaml")
        self.failure: BaseException | None = None

    def serve(self, settings: Settings) -> int:
        self.ran.append(("serve", settings))
        if self.failure is not None:
            raise self.failure
        return 0

    def demo(self, settings: Settings) -> int:
        self.ran.append(("demo", settings))
        return 0

    def check(self, settings: Settings) -> Problems:
        self.ran.append(("check", settings))
        return self.problems


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> App:
    """The composition root, and an environment without this machine's settings."""
    fake = App()
    monkeypatch.setitem(sys.modules, "gateway.app.run", fake)
    for name in read_environment().variables:
        if name.startswith("GATEWAY_"):
            monkeypatch.delenv(name)
    return fake


def test_serve_runs_what_the_flags_say(app: App) -> None:
    assert main(["serve", "--listen", "127.0.0.1:0", "--log-level", "debug", "--watch"]) == 0
    ((what, settings),) = app.ran
    assert what == "serve"
    assert (str(settings.endpoints[0].listen), settings.log.level, settings.watch) == ("127.0.0.1:0", "debug", True)


def test_every_flag_is_a_variable(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """SV-2."""
    monkeypatch.setenv("GATEWAY_LISTEN", "127.0.0.1:1")
    monkeypatch.setenv("GATEWAY_WATCH", "true")
    assert main(["serve"]) == 0
    assert (str(app.ran[0][1].endpoints[0].listen), app.ran[0][1].watch) == ("127.0.0.1:1", True)


def test_every_setting_of_the_command_line_has_a_flag() -> None:
    """SV-2: the flags of ``serve`` and the names that settings are read by are the same."""
    options = build_parser().parse_args(["serve"])
    assert {name for name in vars(options) if name not in ("command", "check", "watch")} == set(FLAGS)


def test_secrets_leave_the_environment(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """CP-112: before anything else is started."""
    monkeypatch.setenv("GATEWAY_SECRET_V__N", "canary")
    assert main(["serve"]) == 0
    assert read_environment().get("GATEWAY_SECRET_V__N") is None
    assert app.ran[0][1].environment.get("GATEWAY_SECRET_V__N") == "canary"


def test_configuration_error(app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SV-1: file, line and column, no traceback, status 2, nothing is started."""
    path = tmp_path / "c.yaml"
    path.write_text("ai:\n  max_bdy: 1\n")
    assert main(["serve", "--config", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"{path}:2:3: error ERR_AIGW_CONFIG: ai.max_bdy: unknown field 'max_bdy'; did you mean 'max_body'?\n"
    )
    assert app.ran == []


def test_address_in_use(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    app.failure = OSError(98, "Address already in use")
    assert main(["serve"]) == 2
    assert capsys.readouterr().err == "gateway: [Errno 98] Address already in use\n"


def test_address_in_use_inside_a_task_group(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    app.failure = ExceptionGroup("outer", [ExceptionGroup("tasks", [OSError(98, "Address already in use")])])
    assert main(["serve"]) == 2
    assert capsys.readouterr().err == "gateway: [Errno 98] Address already in use\n"


def test_bugs_are_not_hidden(app: App) -> None:
    """Only the operator's errors are lines."""
    app.failure = ExceptionGroup("tasks", [OSError(98, "Address already in use"), ValueError("a bug")])
    with pytest.raises(ExceptionGroup):
        main(["serve"])


def test_interrupt_before_the_loop(app: App) -> None:
    app.failure = KeyboardInterrupt()
    assert main(["serve"]) == 130


def test_demo(app: App) -> None:
    assert main(["demo", "--listen", "127.0.0.1:0"]) == 0
    assert app.ran[0][0] == "demo"


class TestCheck:
    def test_says_what_would_run(self, app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """SV-2 ``--check``."""
        path = tmp_path / "c.yaml"
        path.write_text(
            "server: {data_dir: /var/lib/x}\n"
            "endpoints:\n"
            "  - {id: ep_a, name: a, listen: '127.0.0.1:1', traffic_policy: {}}\n"
            "  - {id: ep_b, name: b, listen: 'unix:/run/b', upstream: {url: 8000}}\n"
            "  - {id: ep_c, name: c, url: 'http://c.internal', ai_gateway: false}\n"
        )
        assert main(["serve", "--config", str(path), "--check"]) == 0
        assert [what for what, _ in app.ran] == ["check"]
        assert capsys.readouterr().out.splitlines() == [
            f"endpoint a (ep_a) listens on 127.0.0.1:1: policy {path}, then built-in AI gateway",
            "endpoint b (ep_b) listens on unix:/run/b: no policy, then upstream http://localhost:8000",
            "endpoint c (ep_c) is reached by forward-internal: no policy, then nothing else",
            "management listens on 127.0.0.1:4041; data in /var/lib/x",
        ]

    def test_error(self, app: App, capsys: pytest.CaptureFixture[str]) -> None:
        app.problems.add(Severity.ERROR, "ERR_NGROK_2203", "unknown field", line=3, column=4)
        assert main(["serve", "--check"]) == 2
        output = capsys.readouterr()
        assert output.err == "policy.yaml:3:4: error ERR_NGROK_2203: unknown field\n"
        assert output.out == ""


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    words = capsys.readouterr().out.split()
    assert words[:2] == ["gateway", f"{__version__},"]
    assert [word for word in words if word.isalpha()] == ["gateway", "Python", "uvloop", "aiohttp"]


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["serve", "--help"], ["demo", "--help"], ["policy", "check", "--help"]]
)
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """SV-1: on every level; a missing command is a usage error."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == (0 if arguments else 2)
    output = capsys.readouterr()
    assert "usage: gateway" in output.out + output.err


def test_help_is_cheap() -> None:
    """Neither the server nor the expression language is imported for it."""
    code = "import sys, gateway.cli.main as m; m.build_parser(); print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"aiohttp", "uvloop", "celpy", "gateway.app", "ruamel.yaml", "asyncio"} & set(result.stdout.split())


def test_python_m_gateway() -> None:
    """SV-1: ``python -m gateway`` equals ``gateway``."""
    result = subprocess.run([sys.executable, "-m", "gateway", "version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith(f"gateway {__version__}, ")
