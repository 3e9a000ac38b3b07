"""What somebody does next who has nothing yet."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.console.pages.words import gettext as _
from services.console.sessions.session import Session
from sidegate.topology.graph import Graph


@dataclass(frozen=True, slots=True)
class Step:
    path: str
    name: str
    why: str
    done: bool


def steps(session: Session, graph: Graph) -> Sequence[Step]:
    """None where there is a service or an endpoint already, or where the reader may make nothing."""
    if graph.endpoints or any(each.owner for each in graph.services) or session.reads_only:
        return ()
    if not session.is_tenant:
        return () if graph.vpcs else (Step("/operator", _("Let somebody in"), _("Make an account, and a key."), False),)
    return (
        Step("/vpcs/new", _("Create a VPC"), _("Your network, and its subnets and machines."), bool(graph.vpcs)),
        Step("/services/new", _("Publish a service"), _("Others connect to ports of your machines."), False),
        Step("/endpoints/new", _("Request an endpoint"), _("An address in your network leads to a service."), False),
    )
