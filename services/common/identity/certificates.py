"""A program's certificate in use: what it serves with, read anew when it changes, and what it calls others with."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import grpc
import structlog

from services.common.identity.pki import CA_FILE, CERTIFICATE_FILE, KEY_FILE

log = structlog.get_logger(__name__)


class NoCertificate(Exception):
    """The directory holds none that could be used; the text says where one comes from."""


class Certificates:
    """ca.pem, cert.pem and key.pem in a directory. Raises NoCertificate where they are not there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        try:
            self._ca, self._chain, self._key = self._read()
        except OSError as error:
            text = f"no certificate in {directory}: {error.filename} cannot be read ({error.strerror})"
            raise NoCertificate(f"{text}; `python -m services.common.identity` makes one") from error
        self._seen = self._stamp()
        self._called: tuple[Sequence[tuple[int, int]], grpc.ChannelCredentials] | None = None

    def serving(self, *, client_needed: bool) -> grpc.ServerCredentials:
        """What to serve with, on one port; with `client_needed` nobody gets in without a certificate of ours."""
        # None, for nothing new, is what gRPC documents and its stubs forget.
        changed = cast("Callable[[], grpc.ServerCertificateConfiguration]", self._changed)
        return grpc.dynamic_ssl_server_credentials(self._configuration(), changed, client_needed)

    def calling(self) -> grpc.ChannelCredentials:
        """What to call other programs with: the same as before, as long as the files are."""
        with self._lock:
            try:
                stamp = self._stamp()
                if self._called is None or stamp != self._called[0]:
                    ca, chain, key = self._read()
                    self._called = stamp, grpc.ssl_channel_credentials(ca, key, chain)
            except OSError as error:
                if self._called is None:
                    raise
                log.warning("the certificate cannot be read, the one before stays", why=str(error))
            return self._called[1]

    def trusting(self) -> grpc.ChannelCredentials:
        """What to call others with that do not ask for a certificate."""
        return grpc.ssl_channel_credentials(self._ca)

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([(self._key, self._chain)], self._ca)

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Asked by gRPC at every handshake, in threads of its own: what to serve with now, where that is new."""
        with self._lock:
            try:
                stamp = self._stamp()
                if stamp != self._seen:
                    self._ca, self._chain, self._key = self._read()
                    self._seen = stamp
                    return self._configuration()
            except OSError as error:
                log.warning("the certificate cannot be read, the one before stays", why=str(error))
            return None

    def _read(self) -> tuple[bytes, bytes, bytes]:
        ca, chain, key = (path.read_bytes() for path in self._paths())
        return ca, chain, key

    def _stamp(self) -> Sequence[tuple[int, int]]:
        stats = [path.stat() for path in self._paths()]
        return [(stat.st_mtime_ns, stat.st_ino) for stat in stats]

    def _paths(self) -> Sequence[Path]:
        return [self._directory / name for name in (CA_FILE, CERTIFICATE_FILE, KEY_FILE)]
