"""Provider addresses (AG-45, AG-46, AG-48, AG-205, AG-216, P19)."""

from __future__ import annotations

import ipaddress

import pytest

from gateway.ai.providers import (
    Target,
    check_base_url,
    is_admin_listener,
    is_refused_address,
    join,
    merge_query,
    without_credentials,
)
from gateway.ai.surfaces import CHAT, EMBEDDINGS, MESSAGES, RESPONSES
from gateway.upstream.origin import Origin


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1/",
        "https://r.openai.azure.com/openai/deployments/d?api-version=X",
        "https://8.8.8.8/v1",
        "https://[2606:4700::1]:8443/v1",
        "https://bücher.example/v1",
        "https://10.1.2.3/",
        "http://localhost:11434",
        "http://127.0.0.1:8000/v1",
        "http://[::1]:8000",
        "http://10.0.0.5",
        "http://172.31.0.1",
        "http://192.168.1.1",
        "http://[fd12::1]/",
        "http://vllm:8000/v1",
        "http://svc.internal/v1",
        "http://LLM.Corp.Example/v1",
        "https://api.openai.com./v1",
    ],
)
def test_urls_that_may_be_upstreams(url):
    """AG-45."""
    assert check_base_url(url, ["llm.corp.example"]) == []
    Target.parse(url)


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("http://example.com/v1", "http is not allowed"),
        ("http://8.8.8.8/", "http is not allowed"),
        ("http://172.32.0.1/", "http is not allowed"),
        ("https://user:pw@host/", "user information"),
        ("https://user@host/", "user information"),
        ("https://host/#x", "fragment"),
        ("https://host/v1#", "fragment"),
        ("ftp://host/", "not an absolute"),
        ("/v1", "not an absolute"),
        ("https://", "not an absolute"),
        ("https://:443/", "not an absolute"),
        ("https://host:0/", "not an absolute"),
        ("https://host:99999/", "not a valid URL"),
        ("https://host:x/", "not a valid URL"),
        ("https://[::1/", "not a valid URL"),
        ("https://ho st/", "blank"),
        ("https://host/\n", "blank"),
        ("https://host\t/", "blank"),
        ("https://good.example\\@evil/", "backslash"),
        ("https://" + "a" * 2100, "longer"),
        ("https://-bad-.example/", "not a valid host"),
        ("https://ex%61mple.com/", "not a valid host"),
        ("https://a..b/", "not a valid host"),
        ("https://[fe80::1%25eth0]/", "not a valid host"),
    ],
)
def test_urls_that_may_not(url, part):
    """AG-45."""
    assert part in " ".join(check_base_url(url))


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "https://169.254.0.1/",
        "https://[fe80::1]/",
        "https://[fd00:ec2::254]/",
        "https://metadata.google.internal/",
        "http://Metadata.Google.Internal./",
        "https://0.0.0.0/",
        "https://[::]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[::ffff:a9fe:a9fe]/",
        "https://[64:ff9b::169.254.169.254]/",
        "https://[::ffff:0.0.0.0]/",
    ],
)
def test_addresses_that_are_always_refused(url):
    """AG-46."""
    problems = check_base_url(url)
    assert any("must not be an upstream" in problem for problem in problems)
    assert all(problem.forbidden for problem in problems)


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "127.0.1", "1.2.3.4.5", "256.1.1.1", "0xA9FEA9FE",
        "169.254.169.0xfe", "1", "127.0.0.01", "2852039166.", "\uff11\uff16\uff19.254.43518",
    ],
)  # fmt: skip
def test_other_spellings_of_ipv4_are_no_host_names(host):
    """AG-46: decimal, octal, hexadecimal, shortened."""
    assert any("not a valid host name or address" in problem for problem in check_base_url(f"https://{host}/"))


def test_full_width_digits_are_judged_as_what_they_mean():
    assert any("must not be" in problem for problem in check_base_url("https://\uff11\uff16\uff19.254.169.254/"))


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("169.254.169.254", True),
        ("::ffff:169.254.1.1", True),
        ("64:ff9b::a9fe:1", True),
        ("64:ff9b:1::a9fe:1", True),
        ("fe80::1%eth0", True),
        ("fd00:ec2::254", True),
        ("0.0.0.0", True),
        ("::", True),
        ("not an address", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("::1", False),
        ("fd00:ec2::253", False),
        ("::ffff:10.0.0.1", False),
        ("8.8.8.8", False),
    ],
)
def test_the_check_on_the_dialled_address(address, *, refused):
    """AG-46: repeated before connecting."""
    assert is_refused_address(address) is refused


def test_address_objects_are_judged_alike():
    assert is_refused_address(ipaddress.ip_address("::ffff:169.254.169.254"))
    assert not is_refused_address(ipaddress.ip_address("1.1.1.1"))


@pytest.mark.parametrize(
    ("host", "port", "listener", "expected"),
    [
        ("127.0.0.1", 8081, ("127.0.0.1", 8081), True),
        ("localhost", 8081, ("127.0.0.1", 8081), True),
        ("::1", 8081, ("127.0.0.1", 8081), True),
        ("127.9.9.9", 8081, ("0.0.0.0", 8081), True),
        ("10.0.0.5", 8081, ("10.0.0.5", 8081), True),
        ("::ffff:10.0.0.5", 8081, ("10.0.0.5", 8081), True),
        ("10.0.0.6", 8081, ("10.0.0.5", 8081), False),
        ("127.0.0.1", 8082, ("127.0.0.1", 8081), False),
        ("ollama", 8081, ("127.0.0.1", 8081), False),
    ],
)
def test_the_admin_listener_is_no_upstream(host, port, listener, *, expected):
    """AG-46."""
    assert is_admin_listener(host, port, [("192.0.2.1", 1), listener]) is expected


def test_the_admin_listener_in_a_url():
    assert check_base_url("http://localhost:8081/v1", admin_listeners=[("127.0.0.1", 8081)]) != []
    assert check_base_url("http://localhost:8080/v1", admin_listeners=[("127.0.0.1", 8081)]) == []


@pytest.mark.parametrize(
    ("base_url", "surface", "expected"),
    [
        ("https://api.openai.com/v1/", CHAT, "/v1/chat/completions"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", CHAT, "/v1beta/openai/chat/completions"),
        ("https://api.deepseek.com", CHAT, "/v1/chat/completions"),
        ("http://localhost:11434", RESPONSES, "/v1/responses"),
        ("http://vllm:8000/v1", EMBEDDINGS, "/v1/embeddings"),
        (
            "https://r.openai.azure.com/openai/deployments/d?api-version=X",
            CHAT,
            "/openai/deployments/d/chat/completions",
        ),
        ("https://api.anthropic.com/v1/", MESSAGES, "/v1/messages"),
        ("https://host/anthropic", MESSAGES, "/anthropic/v1/messages"),
        ("https://host/api/v1beta2", MESSAGES, "/api/v1beta2/messages"),
        ("https://host/", MESSAGES, "/v1/messages"),
        ("https://host/video", MESSAGES, "/video/v1/messages"),
        ("https://host/openai//", CHAT, "/openai/chat/completions"),
    ],
)
def test_joining(base_url, surface, expected):
    """AG-48's table."""
    assert join(Target.parse(base_url), surface) == expected


def test_a_target():
    target = Target.parse("https://R.OpenAI.Azure.com:8443/openai/ä/?api-version=1&x=ü")
    assert target.origin == Origin("https", "r.openai.azure.com", 8443)
    assert target.path == "/openai/%C3%A4"
    assert target.query == "api-version=1&x=%C3%BC"
    assert Target.parse("http://vllm").origin.port == 80


@pytest.mark.parametrize("url", ["mailto:x@y", "https://", "//host/", "https://127.1/"])
def test_no_target(url):
    with pytest.raises(ValueError, match="absolute"):
        Target.parse(url)


@pytest.mark.parametrize(
    ("client", "base", "params", "expected"),
    [
        ("", "api-version=1", {}, "api-version=1"),
        ("beta=true", "", {}, "beta=true"),
        ("beta=true", "api-version=1", {}, "beta=true&api-version=1"),
        ("api-version=0&api-version=9&x=1", "api-version=1", {}, "x=1&api-version=1"),
        ("a=1", "a=2&b=2", {"b": "3", "c": "ü &"}, "a=2&b=3&c=%C3%BC%20%26"),
        ("api%2Dversion=0", "api-version=1", {}, "api-version=1"),
        ("a=1&a=2", "", {}, "a=1&a=2"),
        ("flag&&x=", "", {}, "flag&x="),
        ("x=%41+b", "", {}, "x=%41+b"),
    ],
)
def test_query(client, base, params, expected):
    """AG-216: client, base URL, query_params; a later source replaces all values of a name."""
    assert merge_query(client, base, params) == expected


@pytest.mark.parametrize("name", ["key", "api_key", "api-key", "access_token", "KEY", "%6bey", "api%5Fkey"])
def test_credentials_in_the_query_stay_here(name):
    """AG-205."""
    assert merge_query(f"a=1&{name}=sk-secret&b=2", "") == "a=1&b=2"
    assert without_credentials(f"a=1&{name}=sk-secret") == "a=1"


def test_a_credential_in_the_configured_query_is_kept():
    assert merge_query("key=client", "key=operator") == "key=operator"


def test_no_query_can_end_the_request_line():
    merged = merge_query("a=1 HTTP/1.1\r\nx: y&b=ü#", "", {"c\r\n": "d\r\n"})
    assert merged == "a=1%20HTTP/1.1%0D%0Ax:%20y&b=%C3%BC%23&c%0D%0A=d%0D%0A"
