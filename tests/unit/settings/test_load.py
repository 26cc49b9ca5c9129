"""Configuration file, environment and flags → ``Settings`` (SV-2, SV-3, SV-6, SV-10, SV-11, AG appendix A, TP-25)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.problems import Problems
from gateway.settings import Settings
from gateway.settings.address import Listen
from gateway.settings.environment import Environment
from gateway.settings.load import load_settings, stable_id
from gateway.settings.model import AiSettings, PolicySettings


class Sandbox:
    """A directory with a configuration file, and what loading it gives."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text)
        return path

    def read(self, text: str, **flags: str) -> tuple[Settings | None, Problems]:
        path = self.write("gateway.yaml", text)
        return load_settings({"config": str(path), **flags}, Environment({"HOME": "/home/x", "TOKEN": "from-env"}))

    def load(self, text: str, **flags: str) -> Settings:
        settings, problems = self.read(text, **flags)
        assert settings is not None, str(problems)
        return settings

    def fail(self, text: str, **flags: str) -> list[str]:
        settings, problems = self.read(text, **flags)
        assert settings is None
        return str(problems).replace(f"{self.directory}/", "").splitlines()


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


class TestDefaults:
    def test_nothing_given(self) -> None:
        """SV-3, SV-2: one endpoint with the built-in handler on 127.0.0.1:8080."""
        settings, problems = load_settings({}, Environment({"HOME": "/home/x"}))
        assert settings is not None
        assert not len(problems)
        (endpoint,) = settings.endpoints
        assert (endpoint.name, endpoint.listen, endpoint.ai_gateway) == ("default", Listen("127.0.0.1", 8080), True)
        assert (endpoint.url.host, endpoint.has_url, endpoint.policy) == ("*", False, None)
        assert settings.admin.listen == Listen("127.0.0.1", 4041)
        assert settings.server.data_dir == Path("/home/x/.local/state/gateway")
        assert (settings.log.format, settings.log.level) == (None, "info")

    def test_appendix_a(self, sandbox: Sandbox) -> None:
        """AG appendix A, written out: the file with every default equals no file."""
        text = """
        ai: {managed_keys: {}, passthrough: allow, allow_http_hosts: [], prices: 'off', max_body: 32 MiB,
          max_attempts: 20, connect_timeout: 10s, stream_idle_timeout: 5m, client_write_timeout: 5m, drain_timeout: 30s,
          stream_progress_timeout: 15m, stream_keepalive: 0s, key_cooldown: true, uniform_upstream_status: true,
          inject_stream_usage: true, response_headers: true, alert_rate_limit: 0.1}
        policy: {require_termination: false, unavailable_variables: error, rate_limit_min_window: 1s,
          jwt_require_exp: false, max_buffered_body: 32 MiB, max_sse_message: 1 MiB, http_request_allow_external: []}
        """
        settings = sandbox.load(text)
        assert settings.ai == AiSettings()
        assert settings.policy == PolicySettings()

    def test_stable_id(self) -> None:
        """SV-6: from the name, on every machine the same."""
        settings, _ = load_settings({"listen": "127.0.0.1:0"}, Environment())
        assert settings is not None
        assert settings.endpoints[0].id == "ep_l88w49ygDiQjmbRjwX0gfKimxin"


class TestPrecedence:
    def test_flag_environment_file_default(self, sandbox: Sandbox) -> None:
        """SV-2."""
        config = str(sandbox.write("c.yaml", "log: {level: error, format: json}\nadmin: {listen: '127.0.0.1:1'}\n"))
        environment = Environment({"GATEWAY_CONFIG": config, "GATEWAY_LOG_LEVEL": "warning", "HOME": "/"})
        settings, _ = load_settings({"log_level": "debug"}, environment)
        assert settings is not None
        assert settings.log.level == "debug"
        settings, _ = load_settings({"log_level": None}, environment)
        assert settings is not None
        assert (settings.log.level, settings.log.format, settings.admin.listen.port) == ("warning", "json", 1)

    def test_data_dir(self, sandbox: Sandbox) -> None:
        """A path in the file starts at the file, one in a flag at the working directory."""
        assert sandbox.load("server: {data_dir: state}").server.data_dir == sandbox.directory / "state"
        assert sandbox.load("server: {data_dir: state}", data_dir="here").server.data_dir == Path("here")

    @pytest.mark.parametrize(
        ("flag", "value", "line"),
        [
            ("listen", "nowhere", "<--listen>:1:1: error ERR_AIGW_CONFIG: must be HOST:PORT or unix:PATH"),
            ("config", "/no/such", "<--config>:1:1: error ERR_AIGW_CONFIG: /no/such: No such file or directory"),
            ("policy", "/no/such", "<--policy>:1:1: error ERR_AIGW_CONFIG: /no/such: No such file or directory"),
        ],
    )
    def test_wrong_flag(self, flag: str, value: str, line: str) -> None:
        settings, problems = load_settings({flag: value}, Environment())
        assert settings is None
        assert str(problems) == line

    def test_wrong_variable(self) -> None:
        settings, problems = load_settings({}, Environment({"GATEWAY_LOG_LEVEL": "inf"}))
        assert settings is None
        assert str(problems).startswith("<GATEWAY_LOG_LEVEL>:1:1: error ERR_AIGW_CONFIG: must be one of")
        assert "did you mean 'info'" in str(problems)

    @pytest.mark.parametrize("flag", ["policy", "listen"])
    def test_flags_of_the_one_endpoint_exclude_endpoints(self, sandbox: Sandbox, flag: str) -> None:
        """SV-2: ``--policy`` excludes ``endpoints`` in the file."""
        value = str(sandbox.write("p.yaml", "on_http_request: []")) if flag == "policy" else "127.0.0.1:1"
        (line,) = sandbox.fail("endpoints: [{listen: '127.0.0.1:2'}]", **{flag: value})
        assert line == f"<--{flag}>:1:1: error ERR_AIGW_CONFIG: excludes 'endpoints' in gateway.yaml"

    def test_policy_flag(self, sandbox: Sandbox) -> None:
        path = sandbox.write("p.yaml", "on_http_request: []\n")
        settings, _ = load_settings({"policy": str(path), "listen": "unix:/run/g"}, Environment())
        assert settings is not None
        (endpoint,) = settings.endpoints
        assert endpoint.policy is not None
        assert (endpoint.policy.file, endpoint.policy.text) == (str(path), "on_http_request: []\n")
        assert endpoint.listen == Listen(path="/run/g")
        assert list(settings.files) == [path]


class TestStrictness:
    def test_positions_and_nearest_names(self, sandbox: Sandbox) -> None:
        """SV-10: unknown keys, wrong types and duplicate keys, all at once, at ``file:line:column``."""
        lines = sandbox.fail("ai:\n  max_atempts: 3\n  max_body: [1]\nlogg: {}\n")
        assert lines == [
            "gateway.yaml:2:3: error ERR_AIGW_CONFIG: ai.max_atempts: unknown field 'max_atempts'; "
            "did you mean 'max_attempts'?",
            "gateway.yaml:3:13: error ERR_AIGW_CONFIG: ai.max_body: must be a size such as '32 MiB', is a list",
            "gateway.yaml:4:1: error ERR_AIGW_CONFIG: logg: unknown field 'logg'; did you mean 'log'?",
        ]  # fmt: skip

    def test_duplicate_key(self, sandbox: Sandbox) -> None:
        (line,) = sandbox.fail("log: {level: info}\nlog: {level: info}\n")
        assert line.startswith("gateway.yaml:2:1: error ERR_AIGW_CONFIG: duplicate key 'log'")

    @pytest.mark.parametrize(
        "text",
        [
            "ai: {connect_timeout: 10}", "ai: {connect_timeout: 0s}", "ai: {alert_rate_limit: 2}",
            "ai: {max_body: 1 TiB}",
            "server: {trusted_proxies: [10.0.0.0/33]}", "log: {format: xml}", "admin: {listen: x}", "endpoints: []",
            "ip_policies: [{id: ipp_1, rules: [{cidr: 10.0.0.1/8, action: allow}]}]", "ip_policies: [{id: x}]",
            "ip_policies: [{id: ipp_1}, {id: ipp_1}]", "events: {destinations: [{url: x}]}",
            "events: {destinations: [{}]}",
            "geoip: {city_db: /no/such}", "- 1", "endpoints: [{url: 'ftp://x'}]", "ai: {managed_keys: {openai: []}}",
        ],
    )  # fmt: skip
    def test_wrong_values(self, sandbox: Sandbox, text: str) -> None:
        (line,) = sandbox.fail(text)
        assert "error ERR_AIGW_CONFIG" in line

    def test_json(self, sandbox: Sandbox) -> None:
        path = sandbox.write("c.json", json.dumps({"log": {"level": "debug"}}))
        settings, _ = load_settings({"config": str(path)}, Environment())
        assert settings is not None
        assert settings.log.level == "debug"

    def test_empty_sections(self, sandbox: Sandbox) -> None:
        """A section with everything commented out is the default."""
        assert sandbox.load("ai:\nlog:\nendpoints:\n").ai == AiSettings()
        assert sandbox.load("# nothing\n").ai == AiSettings()

    def test_not_utf_8(self, sandbox: Sandbox) -> None:
        path = sandbox.directory / "c.yaml"
        path.write_bytes(b"\xff")
        _, problems = load_settings({"config": str(path)}, Environment())
        assert "is not UTF-8" in str(problems)


class TestEnvironmentInStrings:
    def test_replaced(self, sandbox: Sandbox) -> None:
        """SV-10: inside a string value; AG-192."""
        settings = sandbox.load("ai: {managed_keys: {openai: ['${ENV:TOKEN}', 'x-${ENV:TOKEN}-y']}}")
        assert settings.ai.managed_keys == (("openai", ("from-env", "x-from-env-y")),)
        assert "from-env" not in repr(settings)

    def test_missing_is_an_error(self, sandbox: Sandbox) -> None:
        (line,) = sandbox.fail("server:\n  region: ${ENV:ABSENT}\n")
        assert line == (
            "gateway.yaml:2:11: error ERR_AIGW_CONFIG: server.region: environment variable 'ABSENT' is not set"
        )

    def test_in_a_policy(self, sandbox: Sandbox) -> None:
        text = "endpoints: [{listen: ':1', traffic_policy: {on_http_request: [{name: '${ENV:TOKEN}'}]}}]"
        (endpoint,) = sandbox.load(text).endpoints
        assert endpoint.policy is not None
        assert endpoint.policy.node is not None
        assert endpoint.policy.node.plain() == {"on_http_request": [{"name": "from-env"}]}

    def test_missing_in_a_policy(self, sandbox: Sandbox) -> None:
        text = "endpoints: [{listen: ':1', traffic_policy: {on_http_request: [{name: '${ENV:NO}'}]}}]"
        (line,) = sandbox.fail(text)
        assert "endpoints[0].traffic_policy.on_http_request[0].name: environment variable 'NO' is not set" in line


class TestEndpoints:
    def test_fields(self, sandbox: Sandbox) -> None:
        """SV-11."""
        sandbox.write("cert.pem", "")
        text = """
        endpoints:
          - id: ep_main
            name: main
            url: https://ai.example.com
            listen: 0.0.0.0:443
            tls: {cert_file: cert.pem, key_file: cert.pem}
            gateway_keys: required
            proxy_protocol: true
            metadata: team-a
            upstream: {url: 8080}
        """
        (endpoint,) = sandbox.load(text).endpoints
        assert (endpoint.id, endpoint.name, str(endpoint.url)) == ("ep_main", "main", "https://ai.example.com")
        assert endpoint.listen == Listen("0.0.0.0", 443)
        assert endpoint.tls is not None
        assert endpoint.tls.cert_file == sandbox.directory / "cert.pem"
        assert (endpoint.gateway_keys, endpoint.proxy_protocol, endpoint.metadata) == ("required", True, "team-a")
        assert (endpoint.upstream_url, endpoint.ai_gateway) == ("http://localhost:8080", False)

    def test_what_is_left_out(self, sandbox: Sandbox) -> None:
        """SV-3, SV-11: ``listen`` from ``url``, name from the URL, id from the URL."""
        first, second, third = sandbox.load(
            "endpoints: [{url: 'http://10.0.0.1:81'}, {listen: 'unix:g.sock'},"
            " {url: 'http://a.internal', ai_gateway: false}]"
        ).endpoints
        assert (first.name, first.id, first.listen) == (
            "http://10.0.0.1:81",
            stable_id(first.name),
            Listen("10.0.0.1", 81),
        )
        assert first.ai_gateway
        assert (second.name, second.has_url, second.url.host) == ("unix:g.sock", False, "*")
        assert third.listen is None
        assert not third.ai_gateway

    def test_agent_configuration(self, sandbox: Sandbox) -> None:
        """SV-11: the reference's version 3 ``endpoints:``; what means nothing here is a warning."""
        text = """
        version: 3
        agent: {authtoken: abc}
        endpoints:
          - name: api
            url: http://127.0.0.1:9000
            description: d
            metadata: m
            bindings: [public]
            pooling_enabled: true
            upstream: {url: 'http://localhost:8000', protocol: http1}
            traffic_policy: {on_http_request: [{actions: [{type: deny}]}]}
        """
        settings, problems = sandbox.read(text)
        assert settings is not None
        assert settings.endpoints[0].upstream_url == "http://localhost:8000"
        assert sorted(problem.path for problem in problems.warnings) == [
            "agent", "endpoints[0].bindings", "endpoints[0].pooling_enabled",
        ]  # fmt: skip
        assert "abc" not in str(problems)

    def test_policy_forms(self, sandbox: Sandbox) -> None:
        """TP-5: a mapping, a string, a file relative to the configuration file, and the old name (TP-9)."""
        sandbox.write("p.yaml", "on_http_request: []")
        text = """
        endpoints:
          - {listen: ':1', traffic_policy: {on_http_request: []}}
          - {listen: ':2', traffic_policy: 'on_http_request: []'}
          - {listen: ':3', traffic_policy_file: p.yaml}
          - {listen: ':4', policy: {on_http_request: []}}
          - {listen: ':5', traffic_policy: null}
        """
        settings, problems = sandbox.read(text)
        assert settings is not None
        sources = [endpoint.policy for endpoint in settings.endpoints]
        assert [source and Path(source.file).name for source in sources] == [
            "gateway.yaml", "<inline>", "p.yaml", "gateway.yaml", None,
        ]  # fmt: skip
        assert sources[0] is not None
        assert sources[0].node is not None
        assert (sources[0].node.line, sources[0].node.path) == (3, "endpoints[0].traffic_policy")
        assert [problem.path for problem in problems.warnings] == ["endpoints[3].policy"]
        assert list(settings.files) == [sandbox.directory / "gateway.yaml", sandbox.directory / "p.yaml"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("endpoints: [{listen: ':1', traffic_policy: {}, traffic_policy_file: gateway.yaml}]", "exclude each"),
            ("endpoints: [{listen: ':1', traffic_policy_file: p.yaml}]", "no such file"),
            ("endpoints: [{listen: ':1', on_http_request: []}]", "belongs under 'traffic_policy'"),
            ("on_http_request: []", "belongs under 'traffic_policy' of an entry of 'endpoints'"),
            ("endpoints: [{name: x}]", "needs 'url' or 'listen'"),
            ("endpoints: [{url: 'https://h'}]", "an https URL needs 'tls'"),
            ("endpoints: [{listen: ':1'}, {listen: ':1'}]", "has the name of another endpoint"),
            ("endpoints: [{listen: ':1', name: a}, {listen: ':1', name: b}]", "host and listener of endpoint 'a'"),
            ("endpoints: [{listen: ':1', id: ep_1}, {listen: ':2', id: ep_1}]", "has the id of endpoint '0.0.0.0:1'"),
            ("endpoints: [{url: 'http://a.internal'}, {url: 'http://a.internal', name: b, id: ep_b}]", "has the host"),
            ("endpoints: [{listen: '127.0.0.1:4041'}]", "is an endpoint's listener"),
            ("admin: {listen: '0.0.0.0:4041'}", "is not loopback"),
            (
                "endpoints: [{listen: ':1', url: 'http://a'},"
                " {listen: ':1', url: 'https://b', tls: {cert_file: gateway.yaml, key_file: gateway.yaml}}]",
                "needs the same 'tls'",
            ),
        ],
    )  # fmt: skip
    def test_contradictions(self, sandbox: Sandbox, text: str, message: str) -> None:
        (line,) = sandbox.fail(text)
        assert message in line

    def test_hosts_on_one_listener(self, sandbox: Sandbox) -> None:
        text = (
            "endpoints: [{listen: ':1', url: 'http://a'}, {listen: ':1', url: 'http://b'}, {listen: ':1', name: rest}]"
        )
        assert [endpoint.url.host for endpoint in sandbox.load(text).endpoints] == ["a", "b", "*"]

    def test_free_ports_do_not_clash(self, sandbox: Sandbox) -> None:
        text = "endpoints: [{listen: '127.0.0.1:0', name: a}, {listen: '127.0.0.1:0', name: b}]"
        first, second = sandbox.load(text).endpoints
        assert first.listener != second.listener

    def test_admin_beyond_loopback(self, sandbox: Sandbox) -> None:
        """CP-1: needs TLS or the explicit permission."""
        assert sandbox.load("admin: {listen: ':4041', allow_plaintext: true}").admin.listen.host == "0.0.0.0"
