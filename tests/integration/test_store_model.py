"""Stores against a model of plain dicts: any sequence of commands, retries and crashes."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.common.eventsourcing.holdings import Holdings
from services.common.eventsourcing.memory_store import MemoryStore
from services.common.eventsourcing.rebuild import rebuild_holdings
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import (
    AlreadyClaimed,
    Append,
    Appended,
    Claim,
    Conflict,
    Constraints,
    Count,
    Exact,
    LimitReached,
    RecordedEvent,
    RequestReused,
    StoreError,
)
from sidegate.evidence import Link, verify
from tests.support import postgres
from tests.support.stores import Store, Tally, a_request, an_append, whole_log

T = TypeVar("T")

LIMIT = 4

streams = st.sampled_from(["endpoint-1", "endpoint-2", "service-1"])
addresses = st.sampled_from([Claim("address", "a"), Claim("address", "b")])
meanings = st.one_of(
    st.builds(Constraints),
    st.builds(lambda claim: Constraints(claims=(claim,)), addresses),
    st.builds(lambda claim: Constraints(releases=(claim,)), addresses),
    st.sampled_from([1, -1, 2]).map(
        lambda delta: Constraints(counts=(Count("endpoints", "shop", delta, LIMIT if delta > 0 else None),))
    ),
)
appends = st.builds(
    an_append,
    stream=streams,
    expected=st.integers(0, 4).map(Exact),
    events=st.integers(0, 3),
    at=st.integers(0, 50),
    partition=st.sampled_from(["cell-1", "cell-2"]),
    constraints=meanings,
)
requests = st.builds(a_request, request_id=st.sampled_from("123"), command=st.sampled_from(["create", "delete"]))


@dataclass
class Model:
    """What the store ought to hold."""

    log: list[tuple[str, int, bytes, str]] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    answers: dict[str, tuple[bytes, Appended]] = field(default_factory=dict)
    holders: dict[Claim, str] = field(default_factory=dict)
    count: int = 0
    meanings: dict[int, Constraints] = field(default_factory=dict)

    def append(self, append: Append) -> Appended | type[StoreError]:
        request, version = append.request, self.versions.get(append.stream, 0)
        if request is not None and request.key.request_id in self.answers:
            command_hash, first = self.answers[request.key.request_id]
            return replace(first, replayed=True) if command_hash == request.command_hash else RequestReused
        if append.expected != Exact(version):
            return Conflict
        if any(self.holders.get(claim, append.stream) != append.stream for claim in append.constraints.claims):
            return AlreadyClaimed
        for count in append.constraints.counts:
            if count.limit is not None and self.count + count.delta > count.limit:
                return LimitReached
        return self._take(append, version)

    def _take(self, append: Append, version: int) -> Appended:
        for claim in append.constraints.releases:
            if self.holders.get(claim) == append.stream:
                del self.holders[claim]
        self.holders |= dict.fromkeys(append.constraints.claims, append.stream)
        self.count += sum(count.delta for count in append.constraints.counts)
        for number, event in enumerate(append.events, 1):
            self.log.append((append.stream, version + number, event.data, append.partition))
        self.versions[append.stream] = version + len(append.events)
        if append.events:
            self.meanings[len(self.log)] = append.constraints
        appended = Appended(len(self.log), version + len(append.events), b"")
        if append.request is not None:
            appended = replace(appended, response=append.request.response)
            self.answers[append.request.key.request_id] = (append.request.command_hash, appended)
        return appended

    @property
    def holdings(self) -> Holdings:
        return Holdings(dict(self.holders), {("endpoints", "shop"): self.count} if self.count else {})


class StoreMachine(RuleBasedStateMachine):
    """The memory store; what follows the log alone must be rebuilt from it, so constraints come with events."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.model = Model()

    @initialize()
    def open(self) -> None:
        self.store: Store = MemoryStore()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self.store.close())
        self.runner.close()

    def compare(self, found: Appended | BaseException, wanted: Appended | type[StoreError]) -> None:
        if isinstance(wanted, Appended):
            assert found == wanted
        else:
            assert type(found) is wanted

    @rule(append=appends)
    def append(self, append: Append) -> None:
        self.append_at_once([append])

    @rule(append=appends, request=requests)
    def append_as_a_request(self, append: Append, request: Any) -> None:
        self.append_at_once([replace(append, request=request)])

    @rule(batch=st.lists(appends, max_size=5), request=requests)
    def append_a_batch(self, batch: list[Append], request: Any) -> None:
        retries = [replace(append, request=request) for append in batch[::2]]
        self.append_at_once(retries + batch[1::2])

    def append_at_once(self, batch: list[Append]) -> None:
        fitting = [append if append.events else replace(append, constraints=Constraints()) for append in batch]

        async def race() -> list[Appended | BaseException]:
            return await asyncio.gather(*map(self.store.append, fitting), return_exceptions=True)

        for append, found in zip(fitting, self.run(race()), strict=True):
            self.compare(found, self.model.append(append))

    @rule(request=requests)
    def recall(self, request: Any) -> None:
        answered = self.model.answers.get(request.key.request_id)

        async def ask() -> Appended | BaseException | None:
            try:
                return await self.store.recall(request.key, request.command_hash)
            except RequestReused as error:
                return error

        found = self.run(ask())
        if answered is None:
            assert found is None
        elif answered[0] != request.command_hash:
            assert isinstance(found, RequestReused)
        else:
            assert found == replace(answered[1], replayed=True)

    @rule(stream=streams, after=st.integers(0, 5))
    def load(self, stream: str, after: int) -> None:
        loaded = [(event.version, event.data) for event in self.run(self.store.load(stream, after))]
        written = [(version, data) for name, version, data, _ in self.model.log if name == stream]
        assert loaded == written[after:]

    @invariant()
    def the_log_is_the_models(self) -> None:
        log = self.run(whole_log(self.store))
        assert [event.position for event in log] == list(range(1, len(self.model.log) + 1))
        assert [(event.stream, event.version, event.data, event.partition) for event in log] == self.model.log

    @invariant()
    def the_chain_verifies(self) -> None:
        head = self.run(self.store.head())
        verdict = verify(head.log_id, self.run(whole_log(self.store)))
        assert verdict.ok, verdict.fault
        assert verdict.head == Link(head.position, head.hash)

    @invariant()
    def claims_and_counters_are_the_models_and_what_the_log_says(self) -> None:
        def meaning(event: RecordedEvent) -> Constraints:
            return self.model.meanings.get(event.position, Constraints())

        live = self.run(self.store.holdings())
        assert live == self.model.holdings
        assert rebuild_holdings(self.run(whole_log(self.store)), meaning) == live


class SqlMachine(StoreMachine):
    """A log in a database, with a projection."""

    where: str

    @property
    def sql(self) -> SqlStore:
        assert isinstance(self.store, SqlStore)
        return self.store

    @initialize()
    def open(self) -> None:
        self.store = self.run(SqlStore.open(self.where, projections=[Tally()], synchronous="NORMAL"))

    @rule()
    def rebuild(self) -> None:
        live = self.run(self.sql.query(Tally().read))
        self.run(self.sql.rebuild())
        assert self.run(self.sql.query(Tally().read)) == live

    @invariant()
    def the_projection_is_of_this_log(self) -> None:
        tally: Mapping[str, int] = self.run(self.sql.query(Tally().read))
        assert tally == {stream: version for stream, version in self.model.versions.items() if version}


class SqliteMachine(SqlMachine):
    """SQLite, which may lose its process at any moment between two commands."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="store-model-")
        self.lives = 0
        self.path.parent.mkdir()
        self.where = str(self.path)

    @property
    def path(self) -> Path:
        return Path(self.directory.name, str(self.lives), "log.sqlite")

    def teardown(self) -> None:
        super().teardown()
        self.directory.cleanup()

    @precondition(lambda self: self.model.log)
    @rule()
    def crash_and_open_again(self) -> None:
        before = self.path.parent
        self.lives += 1
        shutil.copytree(before, self.path.parent)  # the files as a process leaves them that is killed now
        self.where = str(self.path)
        self.run(self.store.close())
        self.open()


class PostgresMachine(SqlMachine):
    """PostgreSQL, which may lose connections at any moment between two commands, or the process that has them."""

    def __init__(self) -> None:
        super().__init__()
        self.server = postgres.shared()
        self.stack = ExitStack()
        self.database = self.stack.enter_context(postgres.database())
        self.where = self.server.url(self.database)

    def teardown(self) -> None:
        super().teardown()
        self.stack.close()

    @rule()
    def lose_all_connections(self) -> None:
        self.server.disconnect(self.database)

    @rule()
    def lose_the_process(self) -> None:
        self.server.disconnect(self.database)
        self.run(self.store.close())
        self.open()


# Without the phase that explains a failure: it runs a failing machine hundreds of times more.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)

TestMemoryStore = StoreMachine.TestCase
TestMemoryStore.settings = settings(max_examples=40, stateful_step_count=25, deadline=None, phases=PHASES)
TestSqliteStore = SqliteMachine.TestCase
TestSqliteStore.settings = settings(max_examples=12, stateful_step_count=20, deadline=None, phases=PHASES)
TestPostgresStore = PostgresMachine.TestCase
TestPostgresStore.settings = settings(max_examples=8, stateful_step_count=20, deadline=None, phases=PHASES)
