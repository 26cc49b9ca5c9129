"""What tells one content of a file from another."""

from __future__ import annotations

from pathlib import Path

from gateway.settings.environment import Environment
from gateway.settings.files import FileState, state_of
from gateway.settings.load import load_settings


def test_a_missing_file_has_no_state(tmp_path: Path) -> None:
    assert state_of(tmp_path / "none") is None
    assert state_of(tmp_path) is not None


def test_sv_20_a_refused_configuration_says_what_was_read(tmp_path: Path) -> None:
    """Also the policy that could not be read: it may be there later."""
    config, policy = tmp_path / "gateway.yaml", tmp_path / "policy.yaml"
    config.write_text(f"endpoints: [{{name: e, listen: '127.0.0.1:0', traffic_policy_file: {policy}}}]\n")
    files: dict[Path, FileState] = {tmp_path / "older": None}
    settings, problems = load_settings({"config": str(config)}, Environment(), files=files)
    assert settings is None
    assert problems.failed
    assert files == {config: state_of(config), policy: None}
    policy.write_text("on_http_request: []\n")
    settings, _ = load_settings({"config": str(config)}, Environment(), files=files)
    assert settings is not None
    assert settings.files == files == {config: state_of(config), policy: state_of(policy)}
