"""The notary: when it signs, what it keeps through crashes, whom it tells."""

import asyncio
import shutil
import stat
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from services.common.eventsourcing.memory_store import MemoryStore
from services.common.eventsourcing.sql_store import SqlStore
from services.common.eventsourcing.store import EventStore
from services.common.evidence.archive import Archive, Unfit
from services.common.evidence.nats_witness import NatsWitness, subject
from services.common.evidence.notary import Notary, Occasion, Witness
from sidegate.evidence import Link
from sidegate.signed_heads import SignedHead, read_head, read_heads
from tests.support.nats import DEADLINE, append, connected, running, within

SOON = Occasion(events=10, seconds=0.05)
NEVER_BY_TIME = Occasion(events=10, seconds=3600)


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    store = MemoryStore()
    yield store
    await store.close()


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "evidence")


class Desk:
    """A notary at work; what it has told its witness can be waited for."""

    def __init__(self, store: EventStore, archive: Archive, occasion: Occasion, *more: Witness) -> None:
        self.told: asyncio.Queue[SignedHead] = asyncio.Queue()
        self._notary = Notary(store, "endpoint", archive, archive.open(), clock=lambda: 5, occasion=occasion)
        self._more = more

    async def _tell(self, head: SignedHead) -> None:
        self.told.put_nowait(head)

    async def next(self) -> SignedHead:
        async with asyncio.timeout(DEADLINE):
            return await self.told.get()

    async def __aenter__(self) -> "Desk":
        self._task = asyncio.create_task(self._notary.run([*self._more, self._tell]))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def test_a_head_is_signed_some_time_after_an_event(store: MemoryStore, archive: Archive) -> None:
    async with Desk(store, archive, SOON) as desk:
        await append(store, 3)
        head = await desk.next()
    end = await store.head()
    assert (head.log, head.log_id, head.link) == ("endpoint", end.log_id, Link(3, end.hash))
    assert archive.open().public.signed(head)
    assert read_heads(archive.heads) == [head]


async def test_a_head_is_signed_after_so_many_events_without_waiting(store: MemoryStore, archive: Archive) -> None:
    async with Desk(store, archive, NEVER_BY_TIME) as desk:
        await append(store, 9)
        await append(store, 1)
        assert (await desk.next()).position == 10
        await append(store, 12)
        assert (await desk.next()).position == 22


async def test_a_restarted_notary_goes_on_where_it_was(store: MemoryStore, archive: Archive) -> None:
    await append(store, 10)
    async with Desk(store, archive, NEVER_BY_TIME) as desk:
        await desk.next()
    async with Desk(store, archive, NEVER_BY_TIME) as desk:
        await append(store, 10)
        assert (await desk.next()).position == 20
    assert [head.position for head in read_heads(archive.heads)] == [10, 20]


async def test_what_a_crash_left_half_written_is_cut_off(store: MemoryStore, archive: Archive) -> None:
    await append(store, 10)
    async with Desk(store, archive, NEVER_BY_TIME) as desk:
        first = await desk.next()
    with archive.heads.open("ab") as file:
        file.write(first.line[:50])
    async with Desk(store, archive, NEVER_BY_TIME) as desk:
        await append(store, 10)
        await desk.next()
    assert [head.position for head in read_heads(archive.heads)] == [10, 20]


async def test_a_log_that_does_not_lead_to_its_last_head_is_told_loudly_and_signed_anew(
    store: MemoryStore, archive: Archive, capfd: pytest.CaptureFixture[str]
) -> None:
    await append(store, 10)
    async with Desk(store, archive, NEVER_BY_TIME) as desk:
        await desk.next()
    other = MemoryStore()
    await append(other, 10, data=b"another history")
    async with Desk(other, archive, NEVER_BY_TIME) as desk:
        assert (await desk.next()).log_id == (await other.head()).log_id
    captured = capfd.readouterr()
    assert "the log does not lead to the last head that was signed" in captured.out + captured.err
    await other.close()


@pytest.mark.parametrize("grown", [0, 20])
async def test_a_log_that_was_restored_goes_on_in_an_epoch_of_its_own_once(
    archive: Archive, tmp_path: Path, grown: int
) -> None:
    path, backup = tmp_path / "log.sqlite", tmp_path / "backup.sqlite"
    store = await SqlStore.open(path)
    await append(store, 5)
    await store.close()
    shutil.copy(path, backup)
    store = await SqlStore.open(path)
    async with Desk(store, archive, NEVER_BY_TIME) as desk:
        await append(store, 10)
        assert (await desk.next()).epoch == 1
    await store.close()
    shutil.copy(backup, path)
    store = await SqlStore.open(path)
    try:
        await append(store, max(1, grown), data=b"another history")
        for _ in range(2):  # the second one finds that the log has moved on already
            async with Desk(store, archive, NEVER_BY_TIME):
                await within(partial(_is_in_epoch, store, 2))
        async with Desk(store, archive, NEVER_BY_TIME) as desk:
            await append(store, 10)
            head = await desk.next()
        assert (head.epoch, head.log_id) == (2, (await store.head()).log_id)
    finally:
        await store.close()


async def _is_in_epoch(store: SqlStore, epoch: int) -> bool:
    return (await store.head()).epoch == epoch


async def test_a_witness_that_fails_holds_up_nothing(store: MemoryStore, archive: Archive) -> None:
    async def deaf(_head: SignedHead) -> None:
        raise RuntimeError("no room")

    async with Desk(store, archive, NEVER_BY_TIME, deaf) as desk:
        await append(store, 10)
        assert (await desk.next()).position == 10


async def test_an_archive_that_cannot_be_written_is_tried_again(
    store: MemoryStore, archive: Archive, capfd: pytest.CaptureFixture[str]
) -> None:
    async with Desk(store, archive, NEVER_BY_TIME) as desk:
        archive.heads.mkdir()
        await append(store, 10)
        await within(lambda: "cannot be signed" in "".join(capfd.readouterr()))
        archive.heads.rmdir()
        assert (await desk.next()).position == 10


def test_the_key_is_made_once_and_only_its_owner_may_read_it(archive: Archive) -> None:
    first = archive.open()
    assert archive.open().public.id == first.public.id
    assert stat.S_IMODE(archive.signing_key.stat().st_mode) == 0o600
    assert archive.public_key.read_bytes() == first.public.pem


def test_heads_without_their_key_are_no_place_to_go_on(archive: Archive) -> None:
    archive.open()
    archive.heads.touch()
    archive.signing_key.unlink()
    with pytest.raises(Unfit, match="without its key: restore"):
        archive.open()
    archive.signing_key.write_text("hello")
    with pytest.raises(Unfit, match="no private key"):
        archive.open()


def test_an_altered_last_head_is_found(archive: Archive) -> None:
    archive.open()
    archive.heads.write_bytes(b"{}\n")
    with pytest.raises(Unfit, match="altered"):
        archive.last()
    with pytest.raises(Unfit, match="altered"):
        archive.open()


async def test_heads_reach_nats_and_stay_there(store: MemoryStore, archive: Archive, tmp_path: Path) -> None:
    async with running(tmp_path / "nats") as nats, connected(nats, "endpoint") as connection:
        witness = NatsWitness()
        witness.connected(connection)
        async with Desk(store, archive, NEVER_BY_TIME, witness) as desk:
            await append(store, 10)
            head = await desk.next()
        async with connection.exchange() as jetstream:
            message = await jetstream.get_last_msg("HEADS", subject("endpoint"))
    assert message.data is not None
    assert read_head(message.data) == head
