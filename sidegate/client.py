"""The typed asyncio client: `async with Client(registry="host:port", endpoint="host:port", ...) as sidegate: ...`."""

from collections.abc import Callable
from functools import cached_property
from types import TracebackType
from typing import Self

import grpc

from sidegate import errors
from sidegate.access import Speaking, Tokens, Untold
from sidegate.credentials import Credential
from sidegate.resources.accounts import Accounts
from sidegate.resources.attachments import Attachments
from sidegate.resources.changes import Changes
from sidegate.resources.connections import Connections
from sidegate.resources.credentials import Credentials
from sidegate.resources.endpoints import Endpoints
from sidegate.resources.gateways import Gateway, Gateways
from sidegate.resources.history import History
from sidegate.resources.inventory import Ports, Subnets, Vpcs
from sidegate.resources.logs import Audit
from sidegate.resources.programs import Program
from sidegate.resources.quotas import Quotas
from sidegate.resources.route_tables import RouteTables
from sidegate.resources.services import Services
from sidegate.resources.traces import Traces
from sidegate.resources.traffic import Traffic
from sidegate.transport import DEFAULT_TIMEOUT_SECONDS, Access, Caller


class Client:
    """One principal's calls to one Sidegate.

    Addresses are "host:port", or "unix:/path"; what is not given cannot be asked. `credential` proves who calls, or
    gives what does when it is first needed; `ca` (PEM) is what the servers' certificates are verified with. The
    operator's credential may speak for an `account` and `project` that are named; others speak for their own. Tokens
    are had and renewed when they are needed.
    Calls raise `sidegate.errors`. Each has a deadline (`timeout` seconds, 30 at most), is repeated where the server
    was away, and every write carries a request id, so that repeating it changes nothing. Writes within
    `with sidegate.conditions.under(validate_only=True, etag=...)` are only validated, or bound to what was read.
    """

    def __init__(
        self,
        registry: str = "",
        endpoint: str = "",
        gateway: str = "",
        http_api: str = "",
        console: str = "",
        *,
        credential: Credential | Callable[[], Credential] | None = None,
        ca: bytes = b"",
        account: str = "",
        project: str = "",
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        self._addresses = {
            "registry": registry,
            "endpoint": endpoint,
            "gateway": gateway,
            "http_api": http_api,
            "console": console,
        }
        self._credential, self._ca = credential, ca
        self._account, self._project, self._timeout = account, project, timeout
        self._callers: dict[str, Caller] = {}

    def acting_for(self, account: str, project: str) -> "Client":
        """Another client, of the same credential, for an account and project: the operator may name any."""
        return Client(
            **self._addresses,
            credential=self._credential,
            ca=self._ca,
            account=account,
            project=project,
            timeout=self._timeout,
        )

    @cached_property
    def accounts(self) -> Accounts:
        return Accounts(self._caller("registry"))

    @cached_property
    def credentials(self) -> Credentials:
        return Credentials(self._caller("registry"))

    @cached_property
    def vpcs(self) -> Vpcs:
        return Vpcs(self._caller("registry"))

    @cached_property
    def subnets(self) -> Subnets:
        return Subnets(self._caller("registry"))

    @cached_property
    def route_tables(self) -> RouteTables:
        return RouteTables(self._caller("registry"))

    @cached_property
    def ports(self) -> Ports:
        return Ports(self._caller("registry"))

    @cached_property
    def attachments(self) -> Attachments:
        return Attachments(self._caller("registry"))

    @cached_property
    def changes(self) -> Changes:
        return Changes(self._caller("registry"))

    @cached_property
    def services(self) -> Services:
        return Services(self._caller("registry"))

    @cached_property
    def connections(self) -> Connections:
        return Connections(self._caller("endpoint"))

    @cached_property
    def endpoints(self) -> Endpoints:
        return Endpoints(self._caller("endpoint"))

    @cached_property
    def traces(self) -> Traces:
        return Traces(self._caller("endpoint"))

    @cached_property
    def traffic(self) -> Traffic:
        return Traffic(self._caller("endpoint"))

    @cached_property
    def quotas(self) -> Quotas:
        return Quotas(self._caller("registry"), self._caller("endpoint"))

    @cached_property
    def gateways(self) -> Gateways:
        return Gateways(self._caller("endpoint"))

    @cached_property
    def audit(self) -> Audit:
        return Audit(self._caller("registry"), self._caller("endpoint"))

    @cached_property
    def history(self) -> History:
        return History(self._caller("registry"), self._caller("endpoint"))

    @cached_property
    def gateway(self) -> Gateway:
        return Gateway(self._caller("gateway"))

    def program(self, name: str) -> Program:
        """The program, such as registry, to be asked how it is. Raises Unavailable without an address."""
        return Program(self._caller(name))

    @cached_property
    def _tls(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(self._ca or None)

    @cached_property
    def _tokens(self) -> Tokens:
        if self._credential is None:
            raise errors.Unauthenticated("no credential is known to prove who calls", reason="NO_CREDENTIAL")
        credential = self._credential if isinstance(self._credential, Credential) else self._credential()
        return Tokens(self._address("registry"), credential, self._tls)

    def _access(self, address: str) -> Access:
        if address.startswith("unix:"):
            return Untold()
        return Speaking(self._tokens, self._tls, self._account, self._project)

    def _address(self, program: str) -> str:
        if address := self._addresses[program]:
            return address
        raise errors.Unavailable(f"no address of the {program} is known", reason="NO_ADDRESS")

    def _caller(self, program: str) -> Caller:
        address = self._address(program)
        if program not in self._callers:
            self._callers[program] = Caller(address, self._access(address), self._timeout)
        return self._callers[program]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        for caller in self._callers.values():
            await caller.close()
        if "_tokens" in vars(self):
            await self._tokens.close()
