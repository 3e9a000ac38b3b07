"""Our own certificate authority: who may speak as which program, and what clients know our servers by."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.common.identity.private_file import write_private

CA_DAYS, DAYS, RENEWED_BEFORE_DAYS = 3650, 365, 120
CA_FILE, CA_KEY_FILE, CERTIFICATE_FILE, KEY_FILE = "ca.pem", "ca.key", "cert.pem", "key.pem"
LOCAL = ("localhost", "127.0.0.1")


class Unfit(Exception):
    """The directory holds no authority that could be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a certificate is for: a name of a person's liking, its URI, and the hosts that it serves on, if it does."""

    name: str
    uri: str
    hosts: tuple[str, ...] = ()


def program_uri(region: str, program: str) -> str:
    return f"spiffe://{region}/svc/{program}"


def gateway_uri(region: str, cell: str, gateway_id: str) -> str:
    return f"spiffe://{region}/gw/{cell}/{gateway_id}"


class Authority:
    """A certificate and its key in a directory, made where there are none. Raises Unfit."""

    def __init__(self, directory: Path, region: str) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path, key_path = directory / CA_FILE, directory / CA_KEY_FILE
        if not path.exists():
            _make_authority(path, key_path, region)
        try:
            self._certificate = x509.load_pem_x509_certificate(path.read_bytes())
            key = load_pem_private_key(key_path.read_bytes(), None)
        except (OSError, ValueError) as error:
            text = f"{directory} holds no certificate authority that can sign ({error}): restore {CA_KEY_FILE}"
            raise Unfit(f"{text}, or remove the directory to have another made") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise Unfit(f"{key_path} is no key of ours")
        self._key = key

    def provide(self, directory: Path, subject: Subject) -> None:
        """A certificate for the subject in the directory; what is there stays if it is that, and good for long."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        ca = self._certificate.public_bytes(Encoding.PEM)
        if self._is_good(directory, subject):
            return
        key = ec.generate_private_key(ec.SECP256R1())
        # The key last: whoever reloads takes both once the second has changed.
        write_private(directory / CA_FILE, ca, 0o644)
        write_private(directory / CERTIFICATE_FILE, self._issue(key, subject).public_bytes(Encoding.PEM), 0o644)
        write_private(directory / KEY_FILE, _private(key))

    def _is_good(self, directory: Path, subject: Subject) -> bool:
        try:
            found = x509.load_pem_x509_certificate((directory / CERTIFICATE_FILE).read_bytes())
            key = load_pem_private_key((directory / KEY_FILE).read_bytes(), None)
            found.verify_directly_issued_by(self._certificate)
        except (OSError, ValueError, TypeError, x509.InvalidVersion):
            return False
        except Exception:  # whatever does not verify is made anew
            return False
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        lasts = found.not_valid_after_utc - datetime.now(UTC) > timedelta(days=RENEWED_BEFORE_DAYS)
        same_key = key.public_key() == found.public_key()
        return lasts and same_key and names == x509.SubjectAlternativeName(_names(subject))

    def _issue(self, key: ec.EllipticCurvePrivateKey, subject: Subject) -> x509.Certificate:
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH] + [ExtendedKeyUsageOID.SERVER_AUTH] * bool(subject.hosts)
        return (
            _builder(subject.name, self._certificate.subject, key, DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(_names(subject)), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _make_authority(path: Path, key_path: Path, region: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Sidegate {region}")])
    certificate = (
        _builder(f"Sidegate {region}", name, key, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    write_private(key_path, _private(key))
    write_private(path, certificate.public_bytes(Encoding.PEM), 0o644)


def _builder(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks differ
        .not_valid_after(now + timedelta(days=days))
    )


def _names(subject: Subject) -> Sequence[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(subject.uri), *map(_host, subject.hosts)]


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
