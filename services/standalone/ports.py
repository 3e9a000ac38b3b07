"""TCP ports that stay ours between choosing them and a program's listening on them, and through its restarts."""

import socket
from types import TracebackType


class PortTaken(Exception):
    """The port is another program's; the text says which."""


class ReservedPort:
    """A port bound, but not listened on, with SO_REUSEPORT: gRPC servers of the same user can bind it too."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            self._refuse_if_listening(host, port)
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise PortTaken(f"cannot listen on {host}:{port}: {error.strerror}") from error
        self.address = f"{host}:{self._socket.getsockname()[1]}"

    @staticmethod
    def _refuse_if_listening(host: str, port: int) -> None:
        """SO_REUSEPORT would let us share a port with another Sidegate: bind it once without."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind((host, port))

    def __enter__(self) -> "ReservedPort":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _t: TracebackType | None
    ) -> None:
        self._socket.close()
