"""Certificates as expressions see them (TP 6.2)."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gateway.cel.values import Timestamp
from gateway.demo.tls import make_certificate
from gateway.policy.certificates import Certificate, parse_certificate

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
NAME = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme"),
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "a"),
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "b"),
        x509.NameAttribute(NameOID.COMMON_NAME, "client.example"),
    ]
)


def built(*names: x509.GeneralName, key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | None = None) -> Certificate:
    private = key or ed25519.Ed25519PrivateKey.generate()
    builder = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(x509.Name([]))
        .public_key(private.public_key())
        .serial_number(123_456_789_012)
        .not_valid_before(START)
        .not_valid_after(START + datetime.timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    hash_algorithm = hashes.SHA384() if isinstance(private, rsa.RSAPrivateKey) else None
    return Certificate(builder.sign(private, hash_algorithm))


def test_names() -> None:
    certificate = built()
    subject = certificate.subject
    assert subject == "CN=client.example,OU=b,OU=a,O=Acme,C=DE"
    assert subject.common_name == "client.example"
    assert (subject.country, subject.organization, subject.organizational_unit) == (["DE"], ["Acme"], ["a", "b"])
    assert subject.locality == subject.postal_code == subject.province == subject.street_address == []
    assert (certificate.issuer, certificate.issuer.common_name) == ("", "")
    with pytest.raises(AttributeError):
        _ = subject.email


def test_alternative_names() -> None:
    san = built(
        x509.DNSName("a.example"), x509.RFC822Name("b@example.com"), x509.UniformResourceIdentifier("spiffe://c"),
    ).san  # fmt: skip
    assert san == "a.example, b@example.com, spiffe://c"
    assert (san.dns_names, san.email_addresses, san.ip_addresses, san.uris) == (
        ["a.example"], ["b@example.com"], [], ["spiffe://c"],
    )  # fmt: skip
    assert built().san == ""


def test_the_rest() -> None:
    certificate = built(x509.DNSName("a.example"))
    assert certificate.serial_number == "123456789012"
    assert certificate.signature_algorithm == "Ed25519"
    assert certificate.validity.not_before == Timestamp(int(START.timestamp()) * 10**9)
    assert certificate.validity.not_after == Timestamp((int(START.timestamp()) + 86_400) * 10**9)
    (extension,) = certificate.extensions
    assert (extension.id, extension.critical) == ("2.5.29.17", True)
    assert b"a.example" in extension.value
    assert built(key=rsa.generate_private_key(65_537, 2_048)).signature_algorithm == "SHA384-RSA"


def test_the_first_of_a_chain() -> None:
    first, second = make_certificate("one.example"), make_certificate("two.example")
    certificate = parse_certificate(first.certificate + second.certificate)
    assert certificate.san.dns_names == ["localhost", "one.example"]
    assert x509.load_pem_x509_certificate(certificate.pem.encode()).public_bytes(Encoding.PEM) == first.certificate
    with pytest.raises(ValueError, match="PEM"):
        parse_certificate(b"no certificate")
