"""An OpenID provider with a certificate of its own authority, as a program: `oidc-provider-mock`, on TLS.

async with OpenId(tmp_path) as provider:
    provider.issuer, provider.ca
"""

import asyncio
import os
import ssl
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Self

from services.common.identity.pki import CA_FILE, CERTIFICATE_FILE, KEY_FILE, Authority, Subject
from services.common.offspring import ends_with_us
from tests.support.program import free_port
from tests.support.standalone import ROOT, until

PEOPLE = {
    "ann": {"name": "Ann <b>Sample</b>", "email": "ann@example.net", "email_verified": True},
    "bob": {"name": "Bob", "email": "ann@example.net", "email_verified": False},
    "eve": {"name": "Eve", "groups": ["network"]},
}


class OpenId:
    def __init__(self, directory: Path) -> None:
        self._directory, self.port = directory, free_port()
        self.issuer, self.ca = f"https://127.0.0.1:{self.port}", directory / "openid" / CA_FILE
        subject = Subject("login", "https://login.test", ("127.0.0.1", "localhost"))
        Authority(directory / "openid-authority", "login").provide(directory / "openid", subject)
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        with (self._directory / "openid.log").open("ab") as output:
            self._process = subprocess.Popen(
                ends_with_us([sys.executable, "-m", "tests.support.openid", str(self.port), str(self.ca.parent)]),
                cwd=ROOT,
                env={**os.environ, "PYTHONWARNINGS": "ignore"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        await until("the OpenID provider", self._listens, 60.0)
        return self

    async def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "openid.log").read_text()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        await asyncio.to_thread(self._process.wait, 30)


def main() -> None:
    port, directory = int(sys.argv[1]), Path(sys.argv[2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import oidc_provider_mock  # noqa: PLC0415 # it uses what its libraries warn of
        from werkzeug.serving import make_server  # noqa: PLC0415 # the same

    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(directory / CERTIFICATE_FILE, directory / KEY_FILE)
    users = [oidc_provider_mock.User(sub=name, claims=claims) for name, claims in PEOPLE.items()]
    app = oidc_provider_mock.app(require_nonce=True, user_claims=users)
    make_server("127.0.0.1", port, app, threaded=True, ssl_context=trust).serve_forever()


if __name__ == "__main__":
    main()
