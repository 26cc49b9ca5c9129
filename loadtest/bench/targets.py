"""What is compared, and how each is configured: one worker, connections kept alive on both sides, no buffering."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from loadtest.processes import free_port

_NGINX = """\
worker_processes 1;
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.err warn;
worker_rlimit_nofile 20000;
events {{ worker_connections 19000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  client_body_buffer_size 64k;
  tcp_nodelay on;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  upstream bench {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://bench;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
"""

_HAPROXY = """\
global
  nbthread 1
  maxconn 9000
defaults
  mode http
  timeout connect 10s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
  option http-no-delay
  http-reuse always
frontend bench
  bind 127.0.0.1:{port} backlog 4096
  default_backend mock
backend mock
  server mock 127.0.0.1:{upstream} pool-max-conn 1024 pool-low-conn 64
"""

_BARE = """\
on_http_request:
  - type: ai-gateway
    config:
      only_allow_configured_providers: true
      providers:
        - id: mock
          base_url: http://127.0.0.1:{upstream}/v1
          models:
            - id: bench
"""

# What a shop that takes policies seriously would run: addresses, tokens, paths, a limit for each caller, three keys
# chosen by their live metrics, a header set on each attempt.
_FULL = """\
on_tcp_connect:
  - actions:
      - type: restrict-ips
        config:
          enforce: true
          allow: ["127.0.0.0/8", "::1/128"]
on_http_request:
  - actions:
      - type: set-vars
        config:
          vars:
            - tokens:
                - Bearer sk-bench-1234567890
                - Bearer sk-bench-second
                - Bearer sk-bench-third
  - expressions:
      - "!(req.headers['authorization'][0] in vars.tokens)"
    actions:
      - type: custom-response
        config:
          status_code: 401
          headers: {{content-type: application/json}}
          body: '{{"error": {{"message": "unknown token", "type": "authentication_error"}}}}'
  - expressions:
      - "!req.url.path.startsWith('/v1/')"
      - "req.method != 'POST'"
    actions:
      - type: deny
        config: {{status_code: 404}}
  - actions:
      - type: rate-limit
        config:
          name: per-caller
          algorithm: sliding_window
          capacity: 100000000
          rate: 60s
          bucket_key: ["req.headers['authorization']"]
  - actions:
      - type: ai-gateway
        config:
          only_allow_configured_providers: true
          headers: {{x-bench: "${{req.method}}"}}
          providers:
            - id: mock
              base_url: http://127.0.0.1:{upstream}/v1
              supported_api_surfaces: [{{format: openai}}, {{format: anthropic}}]
              api_keys:
                - value: sk-upstream-one-0123456789
                - value: sk-upstream-two-0123456789
                - value: sk-upstream-three-0123456789
              models: [{{id: bench}}, {{id: other}}]
          api_key_selection:
            strategy:
              - ai.keys.filter(k, k.quota.remaining_requests > 500 && k.error_rate.rate_limit < 0.05)
              - ai.keys.filter(k, k.error_rate.total < 0.5)
              - ai.keys
"""

Command = Callable[[Path, int, int], list[str]]


@dataclass(frozen=True, slots=True)
class Target:
    """``command`` writes what the program reads into the folder, and gives its arguments (folder, port, upstream)."""

    name: str
    command: Command
    program: str = sys.executable

    @property
    def installed(self) -> bool:
        return shutil.which(self.program) is not None


def _nginx(folder: Path, port: int, upstream: int) -> list[str]:
    file = folder / "nginx.conf"
    file.write_text(_NGINX.format(folder=folder, port=port, upstream=upstream))
    return ["nginx", "-c", str(file), "-p", str(folder)]


def _haproxy(folder: Path, port: int, upstream: int) -> list[str]:
    file = folder / "haproxy.cfg"
    file.write_text(_HAPROXY.format(port=port, upstream=upstream))
    return ["haproxy", "-f", str(file), "-db"]


def _gateway(policy: str) -> Command:
    def write(folder: Path, port: int, upstream: int) -> list[str]:
        file = folder / "policy.yaml"
        file.write_text(policy.format(upstream=upstream))
        return [
            sys.executable, "-m", "gateway", "serve", "--policy", str(file), "--listen", f"127.0.0.1:{port}",
            "--admin-listen", f"127.0.0.1:{free_port()}", "--data-dir", str(folder / "data"),
        ]  # fmt: skip

    return write


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("nginx", _nginx, "nginx"),
        Target("haproxy", _haproxy, "haproxy"),
        Target("gateway", _gateway(_FULL)),
        Target("gateway-bare", _gateway(_BARE)),
    )
}
