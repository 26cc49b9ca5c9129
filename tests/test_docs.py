"""The documents say what is so: README.md, constraints.txt, the units under systemd/."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import __version__
from gateway.cli.main import build_parser, main
from gateway.settings.load import FILE_FIELDS
from tests import reference

ROOT = Path(__file__).parents[1]
README = reference.README.read_text()
BLOCKS = re.findall(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
PINNED = dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
UNITS = ("gateway.service", "gateway.socket")

#: licences under which what we install may be used, as packages spell them
ALLOWED = re.compile(r"\b(MIT(-0)?|Apache|BSD|PSF|Python Software Foundation|MPL|Mozilla Public License)\b")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[str]:
    """``gateway demo`` on a free port; its URL."""
    command = [sys.executable, "-m", "gateway", "demo", "--listen", "127.0.0.1:0", "--log-format", "json"]
    environment = {"PATH": os.defpath, "HOME": str(tmp_path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment) as process:
        assert process.stderr is not None
        try:
            lines = (line.decode() for line in process.stderr)
            yield next(match[1] for line in lines if (match := re.search(r"listening on (http://[\d.:]+)", line)))
        finally:
            process.terminate()
            assert process.wait(timeout=10) == 0


class TestReadme:
    def test_generated_parts_are_fresh(self) -> None:
        """Every command, flag, setting, action and error is documented by the program itself."""
        assert reference.regenerate(README) == README, "run: python -m tests.reference"
        assert set(re.findall(r"<!-- generated: (\w+) -->", README)) == set(reference.PARTS)

    def test_nothing_is_left_undocumented(self) -> None:
        """The generator itself leaves nothing out."""
        undescribed = [name for name, parser in reference.leaves(build_parser()) if not parser.description]
        assert undescribed == []
        assert [row[0] for row in reference.rows_of("", FILE_FIELDS) if not row[3]] == []

    def test_examples_run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The files shown are valid together, as the commands shown say."""
        for kind, name, text in BLOCKS:
            if kind == "yaml":
                (tmp_path / name).write_text(text)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path / "state"))
        commands = [line for line in _shell_lines() if line.startswith("gateway ") and "check" in line]
        assert len(commands) == 3
        for command in commands:
            assert main(shlex.split(command)[1:]) == 0, capsys.readouterr()

    def test_commands_exist(self) -> None:
        """Every make target, module, package file and flag that a command names is there."""
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        for line in _shell_lines():
            words = shlex.split(line)
            if words[0] == "make":
                assert words[1] in targets
            elif words[:2] == [".venv/bin/python", "-m"]:
                module = ROOT.joinpath(*words[2].split("."))
                assert module.with_suffix(".py").exists() or (module / "__init__.py").exists()
            for word in words:
                if word.startswith("systemd/"):
                    assert (ROOT / word).exists()

    def test_quick_start(self, demo: str) -> None:
        """What a newcomer pastes works: the curl command and the SDK snippet."""
        (curl,) = [line for line in _shell_lines() if line.startswith("curl")]
        command = shlex.split(curl.replace("http://127.0.0.1:8080", demo))
        answer = subprocess.run([*command, "-sS"], capture_output=True, text=True, check=True, timeout=30).stdout
        assert answer.startswith("data: {")
        assert answer.rstrip().endswith("data: [DONE]")
        (snippet,) = [text for kind, _, text in BLOCKS if kind == "python"]
        program = snippet.replace("http://127.0.0.1:8080", demo)
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
        assert len(result.stdout.split()) >= 10

    def test_links_and_files(self) -> None:
        """What is named in backquotes as a file of this project is one."""
        for name in re.findall(r"`((?:systemd|loadtest|tests|policies)/[\w./-]+)`", README):
            assert (ROOT / name).exists() or name.endswith("/"), name


def _shell_lines() -> Iterator[str]:
    for kind, _, text in BLOCKS:
        if kind == "sh":
            yield from text.replace("\\\n", "").strip().splitlines()


class TestMetadata:
    def test_version(self) -> None:
        assert importlib.metadata.version("ai-gateway") == __version__

    def test_changelog_has_this_version(self) -> None:
        text = (ROOT / "CHANGELOG.md").read_text()
        assert re.findall(r"^## (\S+)", text, re.MULTILINE)[0] in ("Unreleased", __version__)


class TestDependencies:
    """What is imported is what setup.cfg declares: a package that comes along with another may leave with it."""

    @pytest.mark.parametrize(
        ("folder", "extras"), [("gateway", ("geoip",)), ("loadtest", ("load",)), ("tests", ("test",))]
    )
    def test_imports_are_declared(self, folder: str, extras: tuple[str, ...]) -> None:
        providers = importlib.metadata.packages_distributions()
        declared = _requirements("ai-gateway", extras)
        missing = {
            f"{path.relative_to(ROOT)}: {name}"
            for path in ROOT.glob(f"{folder}/**/*.py")
            for name in _third_party(path)
            if not {_normal(package) for package in providers.get(name, [name])} & declared
        }
        assert missing == set()


def _third_party(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"gateway", "tests", "loadtest"}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _requirements(name: str, extras: tuple[str, ...]) -> set[str]:
    """Normal names of what a package asks for, directly, with these extras."""
    found = set()
    for requirement in importlib.metadata.requires(name) or ():
        head, _, marker = requirement.partition(";")
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", marker)
        if extra is None or extra[1] in extras:
            found.add(_normal(re.split(r"[\s\[<>=!~(;]", head.strip())[0]))
    return found


class TestConstraints:
    def test_installed_versions_are_the_pinned_ones(self) -> None:
        """What was tested is what an installation gets."""
        wrong = {}
        for name in _installed(("test",)):
            version = importlib.metadata.version(name)
            if PINNED.get(name) != version:
                wrong[name] = (PINNED.get(name), version)
        assert wrong == {}

    def test_no_index_and_no_range(self) -> None:
        """Where packages come from is the installation's decision; a constraint that is not exact is none."""
        text = (ROOT / "constraints.txt").read_text()
        assert "://" not in text
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        assert len(lines) == len(PINNED)

    def test_sorted(self) -> None:
        assert list(PINNED) == sorted(PINNED)

    @pytest.mark.parametrize("name", sorted({"aiohttp", "uvloop"}))
    def test_the_walk_reaches_dependencies(self, name: str) -> None:
        assert name in _installed(())

    def test_licences(self) -> None:
        """Every package that runs with the gateway may be used under MIT, Apache, BSD, PSF or MPL terms."""
        assert {name: text for name in _installed(()) if not ALLOWED.search(text := _licence(name))} == {}


def _installed(extras: tuple[str, ...]) -> set[str]:
    """Normal names of everything that installing the gateway brings, without itself."""
    found: set[str] = set()
    waiting = [("ai-gateway", extras)]
    while waiting:
        name, wanted = waiting.pop()
        for inner in _requirements(name, wanted):
            if inner not in found and _is_installed(inner):
                found.add(inner)
                waiting.append((inner, ()))
    return found


def _is_installed(name: str) -> bool:
    """Requirements for other platforms and Python versions are not."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _licence(name: str) -> str:
    """What a package says of its licence: metadata, else the head of its licence file."""
    package = importlib.metadata.distribution(name)
    said = [text[:200] for name in ("License-Expression", "License") for text in package.metadata.get_all(name) or ()]
    said += [line for line in package.metadata.get_all("Classifier") or () if line.startswith("License")]
    if not ALLOWED.search(" ".join(said)):
        files = [file for file in package.files or () if "licen" in file.name.lower()]
        said += [Path(str(file.locate())).read_text()[:500] for file in files]
    return " ".join(said)


class TestUnits:
    def test_exec_start_parses(self) -> None:
        """The commands of the units are commands of this program."""
        lines = re.findall(r"^ExecStart=(.*)$", (ROOT / "systemd" / "gateway.service").read_text(), re.MULTILINE)
        assert len(lines) == 1
        program, *arguments = shlex.split(lines[0])
        assert program.endswith("/bin/gateway")
        assert build_parser().parse_args(arguments).config == "/etc/gateway/gateway.yaml"

    @pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
    def test_verify(self, tmp_path: Path) -> None:
        """SV-22: the units pass ``systemd-analyze verify``, with the program where this machine has it."""
        for name in UNITS:
            text = (ROOT / "systemd" / name).read_text()
            (tmp_path / name).write_text(text.replace("/opt/gateway/bin/gateway", f"{sys.prefix}/bin/gateway"))
        command = ["systemd-analyze", "verify", *(str(tmp_path / name) for name in UNITS)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (0, "")

    @pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
    def test_sandbox(self) -> None:
        """SV-22: ``systemd-analyze security`` rates it 2.0 or better, and the README says how it is rated."""
        command = ["systemd-analyze", "security", "--offline=true", str(ROOT / "systemd" / "gateway.service")]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        exposure = re.search(r"Overall exposure level for gateway.service: ([\d.]+)", result.stdout)
        assert exposure is not None
        assert float(exposure[1]) <= 2.0
        assert f"rates it {exposure[1]}" in README
