"""Certificates of sensors, and the list of revoked ones, as pure functions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mqtt_trace import ConfigurationError

LONGEST_NAME = 64
"""Characters of a common name (RFC 5280, ub-common-name)."""

_VALID = timedelta(days=90)
_RENEW_BEFORE = timedelta(days=30)
_CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class Authority:
    """The authority of sensors' certificates.

    Attributes:
        certificate: Its certificate, which is another one after each start, of the same key.
        key: Its private key.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the key of the chart's authority, in `tls.key`, and how long it is valid, in `tls.crt`.

        Helm makes authorities that may not sign lists of revoked certificates, so the key gets a certificate that may.

        Raises:
            mqtt_trace.ConfigurationError: They are no certificate with its key.
        """
        try:
            certificate = x509.load_pem_x509_certificate((folder / "tls.crt").read_bytes())
            key = serialization.load_pem_private_key((folder / "tls.key").read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigurationError(
                variable="SENSORS_CA_DIR", problem=f"has no authority: {error} (got '{folder}')"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ConfigurationError(variable="SENSORS_CA_DIR", problem=f"must have an RSA or EC key (got '{folder}')")
        return cls(_sign_itself(key, certificate), key)

    @property
    def pem(self) -> bytes:
        """Its certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def has_key_of(self, pem: bytes) -> bool:
        """Whether this is a certificate of its key."""
        try:
            return x509.load_pem_x509_certificate(pem).public_key() == self.key.public_key()
        except ValueError:
            return False

    def issue(self, name: str, now: datetime) -> bytes:
        """Issue a client certificate with this common name; returns it and its key as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(min(now + _VALID, self.certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        )
        signed = builder.sign(self.key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def keep_or_issue(self, names: Iterable[str], former: Mapping[str, bytes], now: datetime) -> dict[str, bytes]:
        """Choose the certificates of these sensors: what they have and is valid for another month, or a new one."""
        return {
            name: former[name] if self._is_usable(former.get(name, b""), now) else self.issue(name, now)
            for name in names
        }

    def revoke(self, revoked: Iterable[bytes], accepted: Iterable[bytes], former: bytes, now: datetime) -> bytes:
        """List revoked certificates; an unchanged list is returned as it is.

        Args:
            revoked: Certificates to refuse.
            accepted: Certificates not to refuse any more.
            former: The former list: other certificates in it remain. Empty for the first list.
            now: The current time.
        """
        last = self._load_list(former)
        known = {entry.serial_number: entry for entry in last or []}
        serials = (known.keys() | set(map(_serial, revoked))) - set(map(_serial, accepted))
        if last is not None and serials == known.keys():
            return former
        # OpenSSL takes the list with the latest update, in seconds, of all that it has ever loaded.
        updated = now - _CLOCK_SKEW
        if last is not None:
            updated = max(updated, last.last_update_utc + timedelta(seconds=1))
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(updated).next_update(self.certificate.not_valid_after_utc)
        for serial in sorted(serials):
            since = known[serial].revocation_date_utc if serial in known else now
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since).build()
            )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _is_usable(self, pem: bytes, now: datetime) -> bool:
        try:
            certificate = x509.load_pem_x509_certificate(pem)
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        last = self.certificate.not_valid_after_utc  # a new one would not be valid for longer
        return now + _RENEW_BEFORE < certificate.not_valid_after_utc or certificate.not_valid_after_utc == last

    def _load_list(self, pem: bytes) -> x509.CertificateRevocationList | None:
        """Load a list of revoked certificates; None if this authority has not signed it."""
        try:
            found = x509.load_pem_x509_crl(pem)
        except ValueError:
            return None
        return found if found.is_signature_valid(self.key.public_key()) else None


def _sign_itself(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, of_chart: x509.Certificate) -> x509.Certificate:
    # OpenSSL must not take the chart's certificate for this one.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mqtt-trace authority of sensors")])
    usage = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(of_chart.not_valid_before_utc)
        .not_valid_after(of_chart.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .sign(key, hashes.SHA256())
    )


def _serial(pem: bytes) -> int:
    return x509.load_pem_x509_certificate(pem).serial_number
