"""An id leads to a page of its own, and nothing is asked that would be refused."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from services.console.finding.places import looks, place
from services.console.sessions.session import Session
from sidegate.api.endpoint.v1.endpoint_pb2 import Connection
from sidegate.api.registry.v1.account_pb2 import ROLE_ADMIN, ROLE_OPERATOR, Account, Role
from sidegate.api.registry.v1.account_service_pb2 import Identity
from sidegate.api.registry.v1.endpoint_service_pb2 import EndpointService
from sidegate.client import Client
from sidegate.resources.paging import Page

ID = "6f1c2a3b-5d0e-4f6a-9b1c-2d3e4f5a6b7c"


class Listed:
    """A list that has what it was made with, whatever is asked of it."""

    def __init__(self, items: Sequence[object] = ()) -> None:
        self._items = items

    async def page(self, *_: object, ids: Sequence[str] = (), **__: object) -> Page[object]:
        found = [each for each in self._items if not ids or getattr(each, "id", "") in ids]
        return Page(found, len(found))


def session(role: Role.ValueType, **lists: Listed) -> Session:
    made: Any = Session(Identity(account="shop", project="default", role=role), "AK1", Client(), 0.0, 0.0)
    kinds = ("services", "vpcs", "subnets", "ports", "route_tables", "attachments", "endpoints", "connections")
    made.own = SimpleNamespace(**(dict.fromkeys((*kinds, "accounts"), Listed()) | lists))
    return made  # type: ignore[no-any-return] # what it is but for the client


async def test_an_endpoint_of_somebody_elses_is_found_at_the_service_that_it_leads_to() -> None:
    services = Listed([EndpointService(id="5b1c")])
    connections = Listed([Connection(service_id="5b1c", endpoint_id=ID)])
    found = await place(session(ROLE_ADMIN, services=services, connections=connections), ID)
    assert found == f"/services/5b1c/connections/{ID}"


async def test_what_is_nowhere_is_not_found() -> None:
    assert await place(session(ROLE_OPERATOR), ID) == ""
    assert await place(session(ROLE_OPERATOR), "no such name") == ""


async def test_an_account_is_found_by_its_whole_name_and_by_the_operator_alone() -> None:
    accounts = Listed([Account(name="shop"), Account(name="shop-2")])
    assert await place(session(ROLE_OPERATOR, accounts=accounts), "shop") == "/operator/accounts/shop"
    assert await place(session(ROLE_OPERATOR, accounts=accounts), "sho") == ""
    assert await place(session(ROLE_ADMIN, accounts=accounts), "shop") == ""


@pytest.mark.parametrize("acting", [None, ("bank", "default")])
def test_attachments_are_asked_for_by_the_operator_while_it_speaks_for_itself(acting: tuple[str, str] | None) -> None:
    operator = session(ROLE_OPERATOR)
    operator.acting_as = acting
    names = [look.__name__ for look in looks(operator, ID)]
    assert ("_attachment" in names) == (acting is None)
    assert "_attachment" not in [look.__name__ for look in looks(session(ROLE_ADMIN), ID)]
