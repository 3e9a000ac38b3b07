"""What has passed for the endpoints of a service together, while they come and go."""

from hypothesis import given
from hypothesis import strategies as st

from services.gateway_agent.sources import Ground
from services.gateway_agent.sums import Sums, together
from services.gateway_agent.table import Endpoint, ForwardingTable
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


def test_what_an_endpoint_passed_until_it_was_taken_out_is_counted_once() -> None:
    sums, without = Sums(), Ground.of(ForwardingTable.of([*BASE, ONE]))
    sums.look({TWO.id: passed(4)}, ALL)
    assert sums.look({}, without, parted=[(TWO, passed(6))])[WEB.id] == passed(6)
    assert sums.look({TWO.id: passed(1)}, ALL)[WEB.id] == passed(7)
    assert sums.look({TWO.id: passed(2)}, ALL, parted=[(TWO, passed(3))])[WEB.id] == passed(11), "and came again"


def test_an_endpoint_that_goes_while_the_kernel_is_read_is_counted_by_the_next_look() -> None:
    sums, without = Sums(), Ground.of(ForwardingTable.of([*BASE, ONE]))
    sums.look({TWO.id: passed(4)}, ALL)
    sums.look({}, without)
    assert sums.look({}, without, parted=[(TWO, passed(6))])[WEB.id] == passed(6)


def test_what_was_there_before_and_goes_before_it_was_seen_was_told_by_a_program_of_before() -> None:
    sums = Sums()
    assert sums.look({}, ALL, [TWO.id], parted=[(TWO, passed(6))])[WEB.id] == Traffic()
    assert sums.look({TWO.id: passed(1)}, ALL, [TWO.id])[WEB.id] == passed(1)


class Kernel:
    """Endpoints that pass, go and come, and the looks at them, in any order; `went` is since the last look began."""

    def __init__(self) -> None:
        self.sums, self.total = Sums(), 0
        self.has: dict[str, int] = {ONE.id: 0, TWO.id: 0}
        self.went: list[tuple[Endpoint, Traffic]] = []

    def step(self, what: str, endpoint: Endpoint, number: int) -> None:
        id_ = endpoint.id
        if what == "pass" and id_ in self.has:
            self.has[id_] += number
            self.total += number
        elif what == "go" and id_ in self.has:
            self.went.append((endpoint, passed(self.has.pop(id_))))
        elif what == "come":
            self.has.setdefault(id_, 0)
        else:
            self.look(going=endpoint if what == "look while one goes" else None)

    def look(self, going: Endpoint | None = None) -> Traffic:
        """What goes between the list of those that went and the reading of the kernel is in neither."""
        parted, self.went = self.went, []
        if going is not None and going.id in self.has:
            self.step("go", going, 0)
        traffic = {id_: passed(number) for id_, number in self.has.items()}
        return self.sums.look(traffic, ALL, parted=parted)[WEB.id]


steps_of_kernels = st.lists(
    st.tuples(
        st.sampled_from(["pass", "pass", "go", "come", "look", "look while one goes"]),
        st.sampled_from([ONE, TWO]),
        st.integers(1, 9),
    ),
    max_size=30,
)


@given(steps_of_kernels)
def test_whatever_goes_and_comes_meanwhile_a_sum_is_what_passed(history: list[tuple[str, Endpoint, int]]) -> None:
    kernel = Kernel()
    for what, endpoint_, number in history:
        kernel.step(what, endpoint_, number)
    kernel.look()
    assert kernel.look().packets_in == kernel.total


def test_the_sum_of_a_service_goes_with_it() -> None:
    sums = Sums()
    sums.look({OTHER.id: passed(9)}, ALL)
    assert set(sums.look({}, Ground.of(ForwardingTable.of([*BASE[:3], ONE])))) == {WEB.id}
    assert sums.look({OTHER.id: passed(1)}, ALL)[MAIL.id] == passed(1)


def test_everything_together() -> None:
    assert together({ONE.id: passed(3, 1), OTHER.id: passed(4, 2)}) == passed(7, 3)
