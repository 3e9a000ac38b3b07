"""What the fake data plane hears when it tries an endpoint's backends out."""

from services.gateway_agent.dataplane.fake_kernel import FakeKernel
from services.gateway_agent.reach import Attempt, Outcome, Reach, served
from services.gateway_agent.table import Address, Protocol


def fake_reach(kernel: FakeKernel, endpoint: str) -> Reach | None:
    """Machines that are not silent refuse what is not in `open_ports`."""
    found = kernel.entries.endpoint(endpoint)
    service = kernel.entries.service(found.service) if found else None
    if found is None or service is None:
        return None
    tried = tuple(
        Attempt(backend.address, port, protocol, _outcome(kernel, (service.vpc, backend.address, port), protocol))
        for backend in service.backends
        for port, protocol in served(service)
    )
    return Reach(answers=found.vpc not in kernel.lost_devices, attempts=tried)


def _outcome(kernel: FakeKernel, port: tuple[str, Address, int], protocol: Protocol) -> Outcome:
    vpc, address, _ = port
    if vpc in kernel.lost_devices or (vpc, address) in kernel.silent_hosts:
        return Outcome.UNRESOLVED
    if protocol is Protocol.UDP:
        return Outcome.PRESENT
    return Outcome.OPEN if port in kernel.open_ports else Outcome.REFUSED
