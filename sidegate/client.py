"""The typed asyncio client: `async with Client(registry="host:port", endpoint="host:port") as sidegate: ...`."""

from functools import cached_property
from types import TracebackType
from typing import Self

from sidegate import errors
from sidegate.resources.endpoints import Endpoints
from sidegate.resources.gateways import Gateway
from sidegate.resources.history import History
from sidegate.resources.inventory import Attachments, Ports, Subnets, Vpcs
from sidegate.resources.logs import Audit
from sidegate.resources.programs import Program
from sidegate.resources.services import Connections, Services
from sidegate.transport import DEFAULT_TIMEOUT_SECONDS, Caller


class Client:
    """One principal's calls to one Sidegate.

    Addresses are "host:port", or "unix:/path"; what is not given cannot be asked. Calls raise `sidegate.errors`.
    Each has a deadline (`timeout` seconds, 30 at most), is repeated where the server was away, and every write
    carries a request id, so that repeating it changes nothing.
    """

    def __init__(
        self,
        registry: str = "",
        endpoint: str = "",
        gateway: str = "",
        *,
        account: str,
        project: str,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
    ) -> None:
        self._addresses = {"registry": registry, "endpoint": endpoint, "gateway": gateway}
        self._account, self._project, self._timeout = account, project, timeout
        self._callers: dict[str, Caller] = {}

    @cached_property
    def vpcs(self) -> Vpcs:
        return Vpcs(self._caller("registry"))

    @cached_property
    def subnets(self) -> Subnets:
        return Subnets(self._caller("registry"))

    @cached_property
    def ports(self) -> Ports:
        return Ports(self._caller("registry"))

    @cached_property
    def attachments(self) -> Attachments:
        return Attachments(self._caller("registry"))

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
    def audit(self) -> Audit:
        return Audit(self._caller("registry"), self._caller("endpoint"))

    @cached_property
    def history(self) -> History:
        return History(self._caller("registry"), self._caller("endpoint"))

    @cached_property
    def gateway(self) -> Gateway:
        return Gateway(self._caller("gateway"))

    def program(self, name: str) -> Program:
        """ "registry", "endpoint" or "gateway", to be asked how it is doing. Raises Unavailable without an address."""
        return Program(self._caller(name))

    def _caller(self, program: str) -> Caller:
        address = self._addresses[program]
        if not address:
            raise errors.Unavailable(f"no address of the {program} is known", reason="NO_ADDRESS")
        if program not in self._callers:
            self._callers[program] = Caller(
                address, account=self._account, project=self._project, timeout=self._timeout
            )
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
