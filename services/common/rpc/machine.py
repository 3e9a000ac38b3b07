"""Being let at a unix socket, as proof: for a gateway agent, which needs to know nothing of tokens."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from services.common.principal import OPERATOR, Identity, Principal, Role
from services.common.rpc.auth import Metadata
from services.common.rpc.calls import Context


class Machine:
    """A unix socket that only its owner may open: whoever calls there is this machine's root."""

    async def identify(self, metadata: Metadata, context: Context) -> Identity:
        return Identity(Principal(OPERATOR, "machine"), Role.MACHINE)

    def lease(self, _identity: Identity, _over: Callable[[], None]) -> AbstractContextManager[None]:
        """Root stays root."""
        return nullcontext()
