"""Machines and moments in which a data plane cannot open, each told in words that help; and opening again."""

import ctypes
import os
from pathlib import Path

import pytest

from services.gateway_agent.dataplane import kernel, libbpf
from services.gateway_agent.dataplane.bpffs import LAYOUT
from services.gateway_agent.dataplane.kernel import KernelDataplane
from services.gateway_agent.dataplane.local_numbers import Numbers
from services.gateway_agent.dataplane.port import DataplaneError, Unusable
from services.gateway_agent.traffic import Traffic
from tests.support import namespaces
from tests.support.worlds import ENDPOINT, KernelWorld

pytestmark = pytest.mark.root


def dataplane(bpffs: Path) -> KernelDataplane:
    return KernelDataplane(f"{namespaces.PREFIX}-closed", bpffs)


async def test_without_root_it_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    with pytest.raises(Unusable, match="needs root"):
        await dataplane(tmp_path).open()


async def test_without_the_program_it_says_how_to_build_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "OBJECTS", (tmp_path / "forward.bpf.o",))
    with pytest.raises(Unusable, match=r"python -m services\.gateway_agent\.dataplane\.build"):
        await dataplane(tmp_path).open()


async def test_without_libbpf_it_says_which_package_has_it(world: KernelWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ctypes.CDLL

    def missing(name: str | None, **options: bool) -> ctypes.CDLL:
        if name and "libbpf" in name:
            raise OSError(f"{name}: cannot open shared object file")
        return real(name, **options)

    await world.dataplane.close()
    with monkeypatch.context() as patch:
        libbpf._library.cache_clear()
        patch.setattr(ctypes, "CDLL", missing)
        with pytest.raises(Unusable, match="install libbpf1"):
            await world.dataplane.open()


async def test_a_place_where_no_bpf_filesystem_can_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unusable, match=f"no BPF filesystem at {tmp_path}/file"):
        await dataplane(tmp_path / "file").open()


async def test_a_program_that_the_kernel_refuses_is_told_with_its_reason(
    world: KernelWorld, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    await world.dataplane.close()
    broken = tmp_path_factory.mktemp("broken") / "forward.bpf.o"
    broken.write_bytes(b"\x7fELF")
    monkeypatch.setattr(kernel, "OBJECTS", (broken,))
    with pytest.raises(Unusable, match=r"cannot be loaded: .*opening"):
        await world.dataplane.open()


async def test_it_opens_once(world: KernelWorld) -> None:
    with pytest.raises(DataplaneError, match="open already"):
        await world.dataplane.open()
    await world.dataplane.close()
    await world.dataplane.close()
    await world.dataplane.open()


async def test_maps_that_are_there_keep_their_size(world: KernelWorld) -> None:
    entries = world.maps.sessions.max_entries
    await world.dataplane.close()
    successor = KernelDataplane(world.gateway_id, world.bpffs, max_sessions=entries)
    await successor.open()
    try:
        assert successor._kernel.maps.sessions.max_entries == entries
    finally:
        await successor.close()


def pin_counters(pin: Path, entries: int) -> None:
    library, per_cpu_array = ctypes.CDLL("libbpf.so.1", use_errno=True), 6
    fd = library.bpf_map_create(per_cpu_array, b"counters", 4, 8, entries, None)
    assert fd >= 0
    assert library.bpf_obj_pin(fd, os.fsencode(pin)) == 0
    os.close(fd)


async def test_what_older_layouts_have_pinned_is_removed_once_it_is_open_and_newer_ones_when_it_is_uninstalled(
    world: KernelWorld,
) -> None:
    await world.dataplane.close()
    layouts = world.pins()[0].parent.parent
    for name in ("v1", "v2", "v99"):
        (layouts / name).mkdir()
        pin_counters(layouts / name / "counters", 4)
    await world.dataplane.open()
    assert sorted(each.name for each in layouts.iterdir()) == sorted([f"v{LAYOUT}", "v99"])
    await world.dataplane.uninstall()
    assert not layouts.exists()


async def test_a_bpf_filesystem_that_is_there_is_used_and_left(world: KernelWorld) -> None:
    inside = world.bpffs / "sidegate" / "inside"
    other = KernelDataplane(f"{namespaces.PREFIX}-inside", inside, 1024)
    await other.open()
    assert not inside.is_mount()
    await other.uninstall()
    assert world.bpffs.is_mount()
    inside.rmdir()


async def test_who_takes_the_last_slot_before_it_has_rested_has_nothing_of_its_last_holder(world: KernelWorld) -> None:
    shop, payments = await world.vpc("shop", "10.0.0.10"), await world.vpc("payments", "10.0.0.20")
    service = await world.publish(payments, "10.0.0.20")
    world.dataplane._kernel.table._slots = Numbers("endpoints", 2)  # there is one
    gone = await world.lead(shop, service)
    assert await world.refuses(shop, "10.0.0.10", ENDPOINT, 81)
    assert (await world.dataplane.traffic())[gone.id].refused["no_port"] > 0
    await world.remove(gone)
    assert list(world.maps.refusals.items())

    comer = await world.lead(shop, service)
    assert (await world.dataplane.traffic())[comer.id] == Traffic()


async def test_its_filesystem_goes_with_the_empty_directories_of_iproute2_and_stays_for_a_pin(tmp_path: Path) -> None:
    bpffs = tmp_path / "bpf"
    for pinned in (True, False):
        gone = dataplane(bpffs)
        await gone.open()
        for name in ("ip", "xdp", "tc/globals"):
            (bpffs / name).mkdir(parents=True, exist_ok=True)
        pin = bpffs / "tc" / "globals" / "somebodys"
        if pinned:
            pin_counters(pin, 4)
        await gone.uninstall()
        assert bpffs.is_mount() is pinned
        pin.unlink(missing_ok=True)


async def test_its_filesystem_goes_while_somebody_looks_into_it(tmp_path: Path) -> None:
    gone = dataplane(tmp_path / "bpf")
    await gone.open()
    looking = os.open(tmp_path / "bpf", os.O_RDONLY | os.O_DIRECTORY)
    try:
        await gone.uninstall()
        assert not (tmp_path / "bpf").is_mount()
    finally:
        os.close(looking)


async def test_a_kernel_table_that_is_full_refuses_one_entry_and_goes_on(world: KernelWorld) -> None:
    shop, payments = await world.vpc("shop", "10.0.0.10"), await world.vpc("payments", "10.0.0.20")
    await world.serve(payments, "10.0.0.20", 8080)
    service = await world.publish(payments, "10.0.0.20")

    def refused(*_: object) -> None:
        raise libbpf.BpfError(7, "writing map allowed: Argument list too long")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(libbpf.Map, "put", refused)
        with pytest.raises(DataplaneError, match="writing map allowed"):
            await world.lead(shop, service)
    assert len((await world.dataplane.read()).entries) == 3
    await world.lead(shop, service)
    await world.reaches(shop, "10.0.0.10", ENDPOINT, 80)
