"""Two forwarding tables, entry by entry: what was replayed from the log against what the kernel has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from sidegate.api.events.v1.forwarding_pb2 import ForwardingEntry
from sidegate.api.gateway.v1.gateway_service_pb2 import GetTableResponse
from sidegate.cli import facts
from sidegate.cli.facts import Json
from sidegate.cli.forwarding import key_of
from sidegate.cli.outcome import Exit, printable
from sidegate.cli.view import View, table

Key = tuple[str, str]
Entries = Mapping[Key, ForwardingEntry]


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry that is not the same in both tables; None where a table does not have it."""

    kind: str
    id: str
    replay: ForwardingEntry | None
    kernel: ForwardingEntry | None

    @property
    def facts(self) -> dict[str, Json]:
        sides = {"replay": self.replay, "kernel": self.kernel}
        contents: dict[str, Json] = {side: _content(entry) for side, entry in sides.items()}
        return {"kind": self.kind, "id": self.id, **contents}

    @property
    def words(self) -> str:
        if self.replay is None or self.kernel is None:
            return "only in the kernel" if self.replay is None else "only in the replay"
        replay, kernel = _content(self.replay) or {}, _content(self.kernel) or {}
        changed = [name for name in replay if replay[name] != kernel[name]]
        return "; ".join(f"{name}: {replay[name]} in the replay, {kernel[name]} in the kernel" for name in changed)


def differences(replay: GetTableResponse, kernel: GetTableResponse) -> Sequence[Difference]:
    """The entries that forward differently, in order of kind and id."""
    left, right = _entries(replay), _entries(kernel)
    keys = sorted(key for key in {*left, *right} if left.get(key) != right.get(key))
    return [Difference(*key, left.get(key), right.get(key)) for key in keys]


def view(replay: GetTableResponse, kernel: GetTableResponse) -> View:
    """Whether the tables forward the same; the exit code says so too."""
    found = differences(replay, kernel)
    told: dict[str, Json] = {
        "gateway_id": kernel.gateway_id,
        "cell": kernel.cell,
        "equal": not found,
        "events": replay.events,
        "position": replay.position,
        "entries": len(replay.entries),
        "kernel_position": kernel.position,
        "kernel_entries": len(kernel.entries),
        "difference": [each.facts for each in found],
    }
    return View(told, lambda _: _text(replay, kernel, found), Exit.NO if found else Exit.OK)


def _text(replay: GetTableResponse, kernel: GetTableResponse, found: Sequence[Difference]) -> RenderableType:
    done = f"{replay.events} events replayed up to position {replay.position}: {len(replay.entries)} entries"
    if not found:
        return Text(f"{done}, the same as in the kernel of gateway {kernel.gateway_id}")
    told = Text(f"{done}; the kernel of gateway {kernel.gateway_id} has {len(kernel.entries)}; {len(found)} differ")
    rows = [(each.kind, each.id, printable(each.words)) for each in found]
    return Group(told, "", table(("kind", "id", "difference"), rows))


def _entries(found: GetTableResponse) -> Entries:
    return {key_of(each.entry): _canonical(each.entry) for each in found.entries}


def _canonical(entry: ForwardingEntry) -> ForwardingEntry:
    """The entry without what the kernel does not know: versions, and the order of what has none."""
    copy = ForwardingEntry()
    copy.CopyFrom(entry)
    match copy.WhichOneof("entry"):
        case "attachment":
            copy.attachment.ClearField("version")
        case "service":
            copy.service.ClearField("version")
            copy.service.backends.sort()
            copy.service.weighted_backends.sort(key=lambda each: each.address)
            copy.service.port_mappings.sort(key=lambda each: (each.client_port, each.protocol))
        case "resolver":
            copy.resolver.ClearField("version")
        case "endpoint":
            copy.endpoint.ClearField("generation")
            copy.endpoint.ClearField("dns_names")  # the kernel knows of none
            copy.endpoint.allowed_cidrs.sort()
            copy.endpoint.routes.sort(key=lambda each: each.prefix)
            copy.endpoint.sources.sort(key=lambda each: each.gateway_id)
    return copy


def _content(entry: ForwardingEntry | None) -> dict[str, Json] | None:
    if entry is None:
        return None
    kind = entry.WhichOneof("entry")
    return facts.of(getattr(entry, kind)) if kind else {}
