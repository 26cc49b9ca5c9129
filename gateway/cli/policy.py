"""``gateway policy …``: what can be said about a policy without serving anybody."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from gateway.actions import ACTIONS
from gateway.ai.catalog import load_shipped
from gateway.policy.atlas import open_atlas
from gateway.policy.json_schema import policy_json_schema
from gateway.policy.load import PolicyContext, load_policy, policy_context
from gateway.policy.options import PolicyOptions
from gateway.problems import Problems, Severity
from gateway.secrets.sources import SecretTable, build_sources
from gateway.settings.environment import read_environment
from gateway.settings.load import load_settings
from gateway.settings.model import Settings
from gateway.store.db import StoreOptions
from gateway.store.vaults import secret_names


def check_files(files: Sequence[str], *, config: str | None = None) -> int:
    """Prints every problem of every file; 0 if none is an error, 1 if one is, 2 if ``config`` cannot be used."""
    settings = _settings(config)
    if settings is None:
        return 2
    options = replace(options_of(settings), secret_exists=_secret_test(settings, described=config is not None))
    context = policy_context(ACTIONS, options)
    results = [check_file(name, context) for name in files]
    for result in results:
        for problem in result:
            print(problem)
    errors = sum(len(result.errors) for result in results)
    warnings = sum(len(result.warnings) for result in results)
    print(f"{_count(len(files), 'file')}: {_count(errors, 'error')}, {_count(warnings, 'warning')}")
    return 1 if errors else 0


def check_file(name: str, context: PolicyContext) -> Problems:
    """What is wrong with one policy file."""
    try:
        source = Path(name).read_bytes()
    except OSError as error:
        problems = Problems(name)
        problems.add(Severity.ERROR, problems.codes.syntax, error.strerror or "cannot be read", line=1, column=1)
        return problems
    return load_policy(source, context, file=name)[1]


def explain_file(name: str, *, request: str, case: str = "", as_json: bool = False, config: str | None = None) -> int:
    """Prints what a policy does with one request, and why; 1 if the policy is wrong, 2 if the request is."""
    from gateway.policy_tools.documents import read_request
    from gateway.policy_tools.explain import Question, explain
    from gateway.policy_tools.render import render

    settings = _settings(config)
    if settings is None:
        return 2
    problems = Problems("<stdin>" if request == "-" else request)
    file = read_request(sys.stdin.buffer.read() if request == "-" else Path(request).read_bytes(), problems)
    if file is None:
        print(problems, file=sys.stderr)
        return 2
    environment = settings.environment
    sources = build_sources(settings.secrets.dir, environment.credentials_directory, environment.variables)
    question = Question(
        policy=Path(name).read_bytes(), policy_file=name, request=file, case=case, sources=sources,
    )  # fmt: skip
    explanation, problems = explain(question, options_of(settings), settings)
    if explanation is None:
        print(problems, file=sys.stderr)
        return 1
    print(
        json.dumps(explanation, indent=2, ensure_ascii=False, default=str) if as_json else render(explanation), end=""
    )
    return 0


def run_cases(files: Sequence[str], *, only: str = "", config: str | None = None) -> int:
    """Runs the cases beside each policy; 0 if all pass, 1 if one does not, 2 if ``config`` cannot be used."""
    from gateway.policy_tools.cases import run_file

    settings = _settings(config)
    if settings is None:
        return 2
    options = options_of(settings)
    results = [run_file(name, options, settings, only=only) for name in files]
    for result in results:
        for problem in result.problems.errors:
            print(problem)
        for case in result.cases:
            if case.failures:
                print(f"{result.file}:{case.line}: {case.name}", *(f"  {words}" for words in case.failures), sep="\n")
    cases = [case for result in results for case in result.cases]
    failed = sum(1 for case in cases if case.failures)
    took_ms = sum(result.took_s for result in results) * 1_000
    print(f"{_count(len(files), 'file')}, {_count(len(cases), 'case')}: {failed} failed, {took_ms:.0f} ms")
    return 1 if any(result.failed for result in results) else 0


def print_schema() -> int:
    """Prints the JSON Schema of policies, made from the shapes that validate them."""
    print(json.dumps(policy_json_schema(ACTIONS), indent=2, ensure_ascii=False))
    return 0


def _settings(config: str | None) -> Settings | None:
    """The settings, databases included; None, with the reasons printed, if they cannot be used."""
    settings, problems = load_settings({"config": config}, read_environment())
    if settings is not None:
        problems = open_atlas(settings.geoip, settings.ip_categories)[1]
    if problems.failed:
        print(problems, file=sys.stderr)
        return None
    return settings


def _secret_test(settings: Settings, *, described: bool) -> Callable[[str | None, str], bool] | None:
    """Whether a secret exists, for warnings (TP-606): in files, the environment, or the store, which stays sealed.

    None where nothing tells anything: neither a configuration nor a single secret is here.
    """
    environment = settings.environment
    table = SecretTable(build_sources(settings.secrets.dir, environment.credentials_directory, environment.variables))
    stored = secret_names(StoreOptions(settings.server.data_dir).path) or frozenset()
    if not (described or stored or table.values()):
        return None

    def exists(vault: str | None, name: str) -> bool:
        # a stored secret may hold keys, which nobody can see here: its name is enough (TP-602)
        wanted = {name} if vault is None else {vault}
        if any(found in wanted or (found == name and place == vault) for place, found in stored):
            return True
        return table.has(vault, name) if vault is not None else table.has_single(name)

    return exists


def options_of(settings: Settings) -> PolicyOptions:
    """The settings that loading a policy depends on (TP-25), for an endpoint with the built-in handler."""
    policy = settings.policy
    return PolicyOptions(
        require_termination=policy.require_termination,
        unavailable_absent=policy.unavailable_variables == "absent",
        available=open_atlas(settings.geoip, settings.ip_categories)[0].available,
        ip_policies=frozenset(policy.id for policy in settings.ip_policies),
        rate_limit_min_window_s=policy.rate_limit_min_window_s,
        jwt_require_exp=policy.jwt_require_exp,
        max_buffered_body_bytes=policy.max_buffered_body_bytes,
        max_sse_message_bytes=policy.max_sse_message_bytes,
        http_request_allow_external=policy.http_request_allow_external,
        catalog_providers=frozenset(load_shipped().providers_by_name),
        allow_http_hosts=settings.ai.allow_http_hosts,
        admin_listeners=((settings.admin.listen.host, settings.admin.listen.port),),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
