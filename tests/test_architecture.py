"""The rules of structure that no linter checks: sizes, names, the mirror of tests, imports.

Which module may import which is in pyproject.toml (import-linter) and runs in ``make check``.
"""

from __future__ import annotations

import ast
import functools
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(path for path in ROOT.glob("gateway/**/*.py") if "__pycache__" not in path.parts)
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 70

#: modules without a test file of their own, and where they are tested; entries only ever leave
TESTED_ELSEWHERE = {
    "gateway/__main__.py": "tests/unit/cli/test_main.py",
    "gateway/exchange.py": "tests/unit/observability/test_record.py",
    "gateway/clock.py": "tests/unit/observability/test_record.py",
    "gateway/settings/model.py": "tests/unit/settings/test_load.py",
}
BANNED_NAMES = {"manager", "helper", "helpers", "util", "utils", "common", "base", "misc", "data", "ctx"}
BANNED_TEXT = re.compile(r"\b(TODO|FIXME|XXX)\b|pragma: no cover|pytest\.mark\.skip\(\)")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_modules_are_small() -> None:
    """Design rule 3."""
    lines = {_name(path): path.read_text().count("\n") for path in MODULES}
    assert {name: count for name, count in lines.items() if count >= MAX_MODULE_LINES} == {}


def test_functions_fit_a_screen() -> None:
    """Design rule 3."""
    long = {
        f"{_name(path)}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for path in MODULES
        for node in _functions(path)
        if node.end_lineno is not None and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES
    }
    assert long == {}


def test_modules_and_packages_say_what_they_are() -> None:
    """Design rule 1: a docstring; a package's holds no code but re-exports and tables."""
    assert [_name(path) for path in MODULES if not ast.get_docstring(_tree(path))] == []


def test_names() -> None:
    """Names that say nothing are not names (design: Names)."""
    found = [_name(path) for path in MODULES if BANNED_NAMES & set(path.stem.split("_"))]
    for path in MODULES:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ClassDef):
                words = {word.lower() for word in re.findall(r"[A-Z][a-z]*", node.name)}
                found += [f"{_name(path)}:{node.lineno} {node.name}"] if words & BANNED_NAMES else []
    assert found == []


def test_nothing_is_left_for_later() -> None:
    """Work is finished or it is not there."""
    sources = [*MODULES, *(path for path in ROOT.glob("tests/**/*.py") if path != Path(__file__))]
    found = [
        f"{_name(path)}:{number} {line.strip()}"
        for path in sources
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if BANNED_TEXT.search(line)
    ]
    assert found == []


def test_every_module_has_its_test() -> None:
    """``tests/unit`` mirrors ``gateway``: a file for each module, or one of its package's that imports the module."""
    missing = []
    for path in MODULES:
        if path.name == "__init__.py" or _name(path) in TESTED_ELSEWHERE:
            continue
        folder = ROOT / "tests" / "unit" / path.relative_to(ROOT / "gateway").parent
        imported = re.compile(
            rf"\b{re.escape(_module(path))}\b|from {re.escape(_module(path.parent))} import .*\b{path.stem}\b"
        )
        tests = folder.glob("test_*.py")
        if not any(test.name == f"test_{path.name}" or imported.search(test.read_text()) for test in tests):
            missing.append(_name(path))
    assert missing == []


def test_exceptions_from_the_mirror_are_needed() -> None:
    """The list of modules tested elsewhere only shrinks."""
    for name, test in TESTED_ELSEWHERE.items():
        path = ROOT / name
        assert (ROOT / test).exists()
        assert not (ROOT / "tests" / "unit" / path.relative_to(ROOT / "gateway").parent / f"test_{path.name}").exists()


def _imports(path: Path) -> set[str]:
    """The gateway modules that importing this one runs first; imports for type checkers alone do not run."""
    known = {_module(other) for other in MODULES}
    found: set[str] = set()
    waiting: list[ast.AST] = list(_tree(path).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {node.module} | inner
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    own = _module(path)
    return {name for name in found & known if not own.startswith(f"{name}.") and name != own}


def test_no_import_is_circular() -> None:
    """So each module imports alone, whichever comes first; that all of them can be imported is tested below."""
    graphlib.TopologicalSorter({_module(path): _imports(path) for path in MODULES}).prepare()


@pytest.mark.parametrize(
    ("module", "most"),
    [("gateway.cli.main", 200), ("gateway.policy.load", 500), ("gateway.app.run", 1_000)],
)
def test_imports_stay_few(module: str, most: int) -> None:
    """Start-up time, counted in modules: a clock would measure the machine (SV-25)."""
    code = f"import sys, {module}; print(len(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(result.stdout) <= most


def test_importing_starts_nothing() -> None:
    """Design rule 7: no thread, no child, no open file is left by importing everything."""
    names = [_module(path) for path in MODULES if path.name != "__main__.py"]
    code = (
        "import sys, os, threading, importlib\n"
        "before = len(os.listdir('/proc/self/fd'))\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(threading.active_count(), len(os.listdir('/proc/self/fd')) - before)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, *names]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.split() == ["1", "0"]


def test_import_contracts_name_existing_modules() -> None:
    """A contract about a module that has moved holds for nothing."""
    text = (ROOT / "pyproject.toml").read_text()
    named = set(re.findall(r'"(gateway(?:\.[a-z_]+)+)"', text))
    known = {_module(path) for path in MODULES}
    assert sorted(named - known) == []
