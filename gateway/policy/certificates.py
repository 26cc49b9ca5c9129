"""Certificates as expressions see them: ``conn.tls.server`` and ``conn.tls.client`` (TP 6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from gateway.cel.env import BOOL, BYTES, STRING, TIMESTAMP, CelType, list_of, object_of
from gateway.policy.connection_views import timestamp_of

_PARTS = {
    "country": NameOID.COUNTRY_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "organizational_unit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "postal_code": NameOID.POSTAL_CODE,
    "province": NameOID.STATE_OR_PROVINCE_NAME,
    "street_address": NameOID.STREET_ADDRESS,
}
#: as most programs write them; others are shown by their number
_ALGORITHMS = {
    SignatureAlgorithmOID.RSA_WITH_SHA256: "SHA256-RSA",
    SignatureAlgorithmOID.RSA_WITH_SHA384: "SHA384-RSA",
    SignatureAlgorithmOID.RSA_WITH_SHA512: "SHA512-RSA",
    SignatureAlgorithmOID.RSASSA_PSS: "RSA-PSS",
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: "ECDSA-SHA256",
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: "ECDSA-SHA384",
    SignatureAlgorithmOID.ECDSA_WITH_SHA512: "ECDSA-SHA512",
    SignatureAlgorithmOID.ED25519: "Ed25519",
}


class DistinguishedName(str):
    """``CN=localhost,O=Acme`` with its parts; a part may be there several times."""

    __slots__ = ("_name",)
    __cel__: ClassVar[Mapping[str, CelType]] = {"common_name": STRING, **dict.fromkeys(_PARTS, list_of(STRING))}
    _name: x509.Name

    @classmethod
    def of(cls, name: x509.Name) -> DistinguishedName:
        self = cls(name.rfc4514_string())
        self._name = name
        return self

    def __getattr__(self, name: str) -> list[str]:
        if name not in _PARTS:
            raise AttributeError(name)
        return [str(each.value) for each in self._name.get_attributes_for_oid(_PARTS[name])]

    @property
    def common_name(self) -> str:
        found = self._name.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(found[0].value) if found else ""


class AlternativeNames(str):
    """All names of the certificate's subject, with a comma between them, and by kind."""

    __slots__ = ("dns_names", "email_addresses", "ip_addresses", "uris")
    __cel__: ClassVar[Mapping[str, CelType]] = dict.fromkeys(__slots__, list_of(STRING))
    dns_names: list[str]
    email_addresses: list[str]
    ip_addresses: list[str]
    uris: list[str]

    @classmethod
    def of(cls, certificate: x509.Certificate) -> AlternativeNames:
        try:
            found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            found = x509.SubjectAlternativeName([])
        names = found.get_values_for_type
        kinds = (
            names(x509.DNSName),
            names(x509.RFC822Name),
            [str(address) for address in names(x509.IPAddress)],
            names(x509.UniformResourceIdentifier),
        )
        self = cls(", ".join(name for kind in kinds for name in kind))
        self.dns_names, self.email_addresses, self.ip_addresses, self.uris = kinds
        return self


class Validity:
    """When the certificate holds."""

    __slots__ = ("not_after", "not_before")
    __cel__: ClassVar[Mapping[str, CelType]] = {"not_before": TIMESTAMP, "not_after": TIMESTAMP}

    def __init__(self, certificate: x509.Certificate) -> None:
        self.not_before = timestamp_of(certificate.not_valid_before_utc.timestamp())
        self.not_after = timestamp_of(certificate.not_valid_after_utc.timestamp())


class Extension:
    """One extension, undecoded."""

    __slots__ = ("critical", "id", "value")
    __cel__: ClassVar[Mapping[str, CelType]] = {"id": STRING, "critical": BOOL, "value": BYTES}

    def __init__(self, extension: x509.Extension[x509.ExtensionType]) -> None:
        self.id = extension.oid.dotted_string
        self.critical = extension.critical
        self.value = extension.value.public_bytes()


class Certificate:
    """One certificate; parsed once, read by every connection that uses it."""

    __slots__ = ("extensions", "issuer", "pem", "san", "serial_number", "signature_algorithm", "subject", "validity")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "pem": STRING, "serial_number": STRING, "signature_algorithm": STRING,
        "issuer": object_of(DistinguishedName), "subject": object_of(DistinguishedName),
        "san": object_of(AlternativeNames), "validity": object_of(Validity),
        "extensions": list_of(object_of(Extension)),
    }  # fmt: skip

    def __init__(self, certificate: x509.Certificate) -> None:
        algorithm = certificate.signature_algorithm_oid
        self.pem = certificate.public_bytes(Encoding.PEM).decode("ascii")
        self.serial_number = str(certificate.serial_number)
        self.signature_algorithm = _ALGORITHMS.get(algorithm, algorithm.dotted_string)
        self.issuer = DistinguishedName.of(certificate.issuer)
        self.subject = DistinguishedName.of(certificate.subject)
        self.san = AlternativeNames.of(certificate)
        self.validity = Validity(certificate)
        self.extensions = [Extension(extension) for extension in certificate.extensions]


def parse_certificate(pem: bytes) -> Certificate:
    """The first certificate of a chain; raises ValueError."""
    return Certificate(x509.load_pem_x509_certificate(pem))
