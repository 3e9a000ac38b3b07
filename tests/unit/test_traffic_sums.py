"""What has passed for the endpoints of a service together, while they come and go."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from services.gateway_agent.sources import Ground
from services.gateway_agent.sums import Sums, together
from services.gateway_agent.table import ForwardingTable
from services.gateway_agent.traffic import Traffic
from tests.support.tables import attachment, endpoint, service

WEB, MAIL = service("service-1", "vpc-2"), service("service-2", "vpc-2")
ONE, TWO, OTHER = endpoint(1, "vpc-1", WEB.id), endpoint(2, "vpc-1", WEB.id), endpoint(3, "vpc-1", MAIL.id)
BASE = (attachment("vpc-1", "blue"), attachment("vpc-2", "green"), WEB, MAIL)
ALL = Ground.of(ForwardingTable.of([*BASE, ONE, TWO, OTHER]))


def passed(number: int, sessions: int = 0) -> Traffic:
    return Traffic(sessions, number, number, 40 * number, number, 60 * number, {"no_port": number})


def test_a_service_has_what_its_endpoints_have() -> None:
    sums = Sums()
    found = sums.look({ONE.id: passed(3, 1), TWO.id: passed(4, 2), OTHER.id: passed(9)}, ALL)
    assert found == {WEB.id: passed(7, 3), MAIL.id: passed(9)}


def test_what_had_passed_for_what_was_there_already_was_told_by_a_program_of_before() -> None:
    sums, found = Sums(), [ONE.id]
    assert sums.look({ONE.id: passed(100, 5)}, ALL, found)[WEB.id] == Traffic(sessions=5)
    assert sums.look({ONE.id: passed(103, 5), TWO.id: passed(4)}, ALL, found)[WEB.id] == passed(7, 5)
    sums.look({TWO.id: passed(4)}, ALL, found)
    assert sums.look({ONE.id: passed(2), TWO.id: passed(4)}, ALL, found)[WEB.id] == passed(9), "it came again"


def test_an_endpoint_that_goes_leaves_what_it_has_passed_and_takes_its_sessions() -> None:
    sums = Sums()
    sums.look({ONE.id: passed(3, 1), TWO.id: passed(4, 2)}, ALL)
    without = Ground.of(ForwardingTable.of([*BASE, ONE]))
    assert sums.look({ONE.id: passed(5, 1)}, without)[WEB.id] == passed(9, 1)


def test_an_endpoint_that_was_put_anew_counts_from_nothing() -> None:
    sums = Sums()
    sums.look({ONE.id: passed(50)}, ALL)
    assert sums.look({ONE.id: passed(2)}, ALL)[WEB.id] == passed(52)


def test_the_sum_of_a_service_goes_with_it() -> None:
    sums = Sums()
    sums.look({OTHER.id: passed(9)}, ALL)
    assert set(sums.look({}, Ground.of(ForwardingTable.of([*BASE[:3], ONE])))) == {WEB.id}
    assert sums.look({OTHER.id: passed(1)}, ALL)[MAIL.id] == passed(1)


steps = st.lists(st.dictionaries(st.sampled_from([ONE.id, TWO.id]), st.integers(0, 9)), max_size=12)


@given(steps)
def test_a_sum_never_goes_back_and_loses_nothing(history: list[Mapping[str, int]]) -> None:
    """Each step says how much more passes for the endpoints that are there; the others go."""
    sums, total, has = Sums(), 0, dict[str, int]()
    for step in history:
        has = {id_: has.get(id_, 0) + more for id_, more in step.items()}
        total += sum(step.values())
        found = sums.look({id_: passed(number) for id_, number in has.items()}, ALL)
        assert found[WEB.id] == replace(passed(total), refused={"no_port": total} if total else found[WEB.id].refused)


def test_everything_together() -> None:
    assert together({ONE.id: passed(3, 1), OTHER.id: passed(4, 2)}) == passed(7, 3)
