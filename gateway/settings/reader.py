"""What reading a configuration file adds to reading a document: ``${ENV:NAME}``, and paths relative to the file."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from gateway.node import Kind, Node
from gateway.problems import Codes, Problems
from gateway.schema.reader import Reader
from gateway.settings.environment import Environment
from gateway.settings.files import FileState, state_of

CODE = "ERR_AIGW_CONFIG"
#: one code for whatever is wrong with a setting: the message says the rest
CODES = Codes(**dict.fromkeys((field.name for field in fields(Codes)), CODE))
_VARIABLE = re.compile(r"\$\{ENV:([^}]*)\}")


class SettingsReader(Reader):
    """``base`` is the directory that relative paths start from; ``files`` takes those that settings name."""

    def __init__(
        self, problems: Problems, environment: Environment, base: Path, files: dict[Path, FileState] | None = None
    ) -> None:
        super().__init__(problems, codes=CODES)
        self.environment = environment
        self.base = base
        #: as they were when they were looked at
        self.files: dict[Path, FileState] = {} if files is None else files

    def resolve(self, node: Node) -> Node | None:
        """The scalar with ``${ENV:NAME}`` replaced, or None after reporting a variable that is not set (SV-10)."""
        if node.kind is not Kind.STRING or "${ENV:" not in node.value:
            return node
        whole = True
        for match in _VARIABLE.finditer(node.value):
            if match[1] not in self.environment.variables:
                self.error(node, CODE, f"environment variable '{match[1]}' is not set")
                whole = False
        if not whole:
            return None
        twin = Node(Kind.STRING, node.line, node.column, _VARIABLE.sub(self._value, node.value))
        twin.parent, twin.step = node.parent, node.step
        return twin

    def _value(self, match: re.Match[str]) -> str:
        return self.environment.variables[match[1]]

    def resolve_tree(self, node: Node) -> Node | None:
        """A copy of a mapping or list with every string resolved; None after reporting."""
        twin = node.copy()
        twin.parent, twin.step = node.parent, node.step
        whole = True
        for scalar in twin.walk():
            resolved = self.resolve(scalar)
            if resolved is None:
                whole = False
            elif resolved is not scalar:
                scalar.value, scalar.raw = resolved.value, None
        return twin if whole else None

    def path(self, text: str) -> Path:
        """A path as the operator means it."""
        return self.base / Path(text).expanduser()

    def file(self, text: str) -> Path | None:
        """The path of a file, None if there is none; ``files`` has it either way."""
        path = self.path(text)
        self.files[path] = state_of(path)
        return path if self.files[path] is not None else None
