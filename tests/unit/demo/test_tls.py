"""The certificate for tests."""

from __future__ import annotations

import datetime
import ssl

from cryptography import x509

from gateway.clock import ManualClock
from gateway.demo.tls import make_certificate


def test_names_times_and_files(tmp_path):
    made = make_certificate("up.internal", clock=ManualClock(now_s=1_700_000_000.0))
    certificate = x509.load_pem_x509_certificate(made.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "up.internal"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    start = datetime.datetime.fromtimestamp(1_700_000_000, datetime.UTC)
    assert certificate.not_valid_before_utc < start < certificate.not_valid_after_utc
    _, key = made.write(tmp_path)
    assert key.stat().st_mode & 0o777 == 0o600


def test_only_its_own_context_trusts_it():
    one, other = make_certificate(), make_certificate()
    assert len(one.client_context().get_ca_certs()) == 1
    assert one.client_context().get_ca_certs() != other.client_context().get_ca_certs()
    assert one.server_context().minimum_version is ssl.TLSVersion.TLSv1_2
