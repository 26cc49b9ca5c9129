"""The rules of structure that no linter checks: sizes, names, a test for each module, imports.

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
TESTS = sorted(path for path in ROOT.glob("tests/**/*.py") if "__pycache__" not in path.parts)
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 70

#: modules that no test imports and that have no test file of their own: the test file that drives them, which has to
#: reach them by imports
TESTED_THROUGH = {
    "gateway/actions/ai_gateway.py": "tests/wire/test_failover.py",
    "gateway/ai/admission.py": "tests/wire/test_failover.py",
    "gateway/ai/answer.py": "tests/wire/test_relay.py",
    "gateway/ai/attempts.py": "tests/wire/test_failover.py",
    "gateway/ai/build.py": "tests/wire/test_failover.py",
    "gateway/ai/call.py": "tests/wire/test_failover.py",
    "gateway/ai/failover.py": "tests/wire/test_failover.py",
    "gateway/ai/gateway.py": "tests/wire/test_failover.py",
    "gateway/ai/models_list.py": "tests/wire/test_sdks.py",
    "gateway/ai/result.py": "tests/wire/test_failover.py",
    "gateway/app/build.py": "tests/wire/test_failover.py",
    "gateway/app/demo.py": "tests/test_docs.py",
    "gateway/app/gateway_keys.py": "tests/e2e/test_management.py",
    "gateway/app/live.py": "tests/e2e/test_watching.py",
    "gateway/app/management.py": "tests/e2e/test_management.py",
    "gateway/app/masking.py": "tests/wire/test_actions.py",
    "gateway/cli/top.py": "tests/e2e/test_watching.py",
    "gateway/policy/body.py": "tests/unit/actions/test_request_body_find_replace.py",
    "gateway/proxy/accept.py": "tests/wire/test_relay.py",
    "gateway/proxy/bodies.py": "tests/wire/test_actions.py",
    "gateway/proxy/commit.py": "tests/wire/test_relay.py",
    "gateway/proxy/connecting.py": "tests/wire/test_actions.py",
    "gateway/proxy/forward.py": "tests/wire/test_forward.py",
    "gateway/proxy/handed.py": "tests/wire/test_forward.py",
    "gateway/proxy/handler.py": "tests/wire/test_relay.py",
    "gateway/proxy/internal.py": "tests/wire/test_forward.py",
    "gateway/proxy/parsed.py": "tests/wire/test_eager.py",
    "gateway/proxy/phases.py": "tests/wire/test_forward.py",
    "gateway/proxy/server.py": "tests/wire/test_relay.py",
    "gateway/snapshot.py": "tests/wire/test_relay.py",
    "gateway/upstream/codec.py": "tests/wire/test_relay.py",
    "gateway/upstream/collect.py": "tests/wire/test_actions.py",
    "gateway/upstream/plain.py": "tests/wire/test_forward.py",
    "gateway/upstream/pool.py": "tests/wire/test_relay.py",
    "gateway/upstream/shaped.py": "tests/wire/test_actions.py",
    "gateway/upstream/transport.py": "tests/wire/test_relay.py",
}
#: how tests start the program
STARTED = '"-m", "gateway"'
BANNED_NAMES = {"manager", "helper", "helpers", "util", "utils", "common", "base", "misc", "data", "ctx"}
BANNED_TEXT = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError|pragma: no cover|pytest\.mark\.skip\(\)")


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
    sources = [*MODULES, *(path for path in TESTS if path != Path(__file__))]
    found = [
        f"{_name(path)}:{number} {line.strip()}"
        for path in sources
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if BANNED_TEXT.search(line)
    ]
    assert found == []


def test_every_module_has_its_test() -> None:
    """A test imports the module, or mirrors it (``tests/unit`` mirrors ``gateway``), or is named above as its test."""
    imported = set().union(*map(_imports, TESTS))
    own = [path for path in MODULES if path.name not in ("__init__.py", "__main__.py")]  # test_docs runs the latter
    untested = {_name(path) for path in own if _module(path) not in imported}
    mirrored = {name for name in untested if _reaches(_mirror(name), name)}
    assert sorted(untested - mirrored - TESTED_THROUGH.keys()) == []


def test_modules_tested_through_others_are_reached() -> None:
    """Otherwise the table above would be satisfied by anything."""
    unreached = {name: test for name, test in TESTED_THROUGH.items() if not _reaches(ROOT / test, name)}
    assert unreached == {}


def _mirror(name: str) -> Path:
    path = (ROOT / "tests" / "unit").joinpath(*Path(name).parts[1:])
    return path.with_name(f"test_{path.name}")


def _reaches(test: Path, name: str) -> bool:
    """Whether running this test file imports the module, through whatever it imports or as a program that it starts."""
    return test.exists() and _module(ROOT / name) in _reached(test)


@functools.cache
def _reached(test: Path) -> frozenset[str]:
    paths = {_module(path): path for path in (*MODULES, *TESTS)}
    found: set[str] = set()
    waiting = {*_imports(test), *(["gateway.__main__"] if STARTED in test.read_text() else [])}
    while waiting:
        name = waiting.pop()
        found.add(name)
        # a package comes with what stands in its __init__.py
        parents = {name[:end] for end, letter in enumerate(name) if letter == "."} & paths.keys()
        waiting |= (_imports(paths[name], lazy=True) | parents) - found
    return frozenset(found)


@functools.cache
def _known() -> frozenset[str]:
    return frozenset(_module(path) for path in (*MODULES, *TESTS))


@functools.cache
def _imports(path: Path, *, lazy: bool = False) -> set[str]:
    """Our modules that importing this one runs first; imports for type checkers alone do not run.

    ``lazy``: with those that its functions run when called.
    """
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
        elif lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    own = _module(path)
    return {name for name in found & _known() if not own.startswith(f"{name}.") and name != own}


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
