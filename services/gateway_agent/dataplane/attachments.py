"""Attachments put into effect: devices made or found again, watched, and told to the table and to resolution."""

import asyncio
from typing import NamedTuple

from pyroute2 import NetlinkError

from services.gateway_agent.dataplane.annex import DEVICE, inner_mac
from services.gateway_agent.dataplane.devices import Devices, InUse
from services.gateway_agent.dataplane.difficulties import Difficulties
from services.gateway_agent.dataplane.endpoint_sources import owns_sources
from services.gateway_agent.dataplane.kernel_table import KernelTable
from services.gateway_agent.dataplane.links import LinkMonitor
from services.gateway_agent.dataplane.maps import NO_DEVICE
from services.gateway_agent.dataplane.namespaces import NamespaceIdentity, namespace_identity
from services.gateway_agent.dataplane.on_link import OnLinkRoutes
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.dataplane.resolution import Resolution
from services.gateway_agent.table import Attachment, Endpoint, Service
from services.gateway_agent.targets import Annex, Netns, Target


class Attached(NamedTuple):
    """What was true when the device was put into use; when it is no longer, the device is of no use."""

    attachment: Attachment
    in_use: InUse
    namespace: NamespaceIdentity | None


class Attachments:
    def __init__(
        self,
        devices: Devices,
        program_fd: int,
        table: KernelTable,
        resolution: Resolution,
        difficulties: Difficulties,
    ) -> None:
        self._devices = devices
        self._program_fd = program_fd
        self._table = table
        self._resolution = resolution
        self._difficulties = difficulties
        self.on_link = OnLinkRoutes(table, difficulties)
        self._attached: dict[str, Attached] = {}
        self._vpcs: dict[int, str] = {}  # by interface index
        self._macs: dict[str, bytes] = {}  # of the device that each VPC had last
        self._changed: set[str] = set()  # VPCs whose device is to be looked at
        self._looking: asyncio.Task[None] | None = None
        self._monitor = LinkMonitor(self._note, self._note_all)

    async def close(self) -> None:
        self._monitor.close()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    async def adopt(self) -> None:
        """Takes every device of the table as an earlier agent left it, with the program replaced by ours."""
        attachments = self._table.entries.attachments()
        await asyncio.to_thread(self._devices.adopt)
        await asyncio.to_thread(self._devices.sweep, attachments)
        for attachment in attachments:
            try:
                await self.put(attachment)
            except NotReady as error:
                self._lose(attachment, str(error))

    async def put(self, attachment: Attachment) -> None:
        try:
            in_use = await asyncio.to_thread(self._devices.attach, attachment, self._program_fd)
        except (NetlinkError, OSError) as error:
            raise NotReady(f"no device for VPC {attachment.vpc}: {error}") from error
        self._table.put_attachment(attachment, in_use.device)
        self._detach(attachment.vpc)
        self._attached[attachment.vpc] = Attached(attachment, in_use, self._namespace(attachment.target))
        self._vpcs[in_use.device.ifindex] = attachment.vpc
        self._difficulties.clear(attachment.key)
        number, only = self._table.vpc_number(attachment.vpc), None
        if isinstance(attachment.target, Annex):
            only = inner_mac(in_use.device.mac)
        self._resolution.device_there(number, in_use.name, only)
        if self._macs.get(attachment.vpc, in_use.device.mac) != in_use.device.mac:
            self._announce_all(attachment)
        self._macs[attachment.vpc] = in_use.device.mac
        await self.on_link.lay(attachment.vpc)
        self._look_at(attachment.vpc)  # what happened to the device before it was in the index was not heard

    async def remove(self, attachment: Attachment) -> None:
        """First no packet passes, then the device goes, and last the record that says it was to go."""
        self._take_out_of_use(attachment.vpc)
        await asyncio.to_thread(self._devices.detach, attachment)
        self._table.remove_attachment(attachment.vpc)
        self._macs.pop(attachment.vpc, None)
        self._difficulties.clear(attachment.key)

    def check_namespaces(self) -> None:
        """Looks whether every namespace is still the one in which the device was made."""
        for attached in tuple(self._attached.values()):
            target = attached.attachment.target
            if self._namespace(target) != attached.namespace:
                where = f"network namespace {self._devices.namespace(target)}"
                device = target.device if isinstance(target, Netns) else DEVICE
                self._lose(attached.attachment, f"{where} went away, and device {device} with it")

    def _announce_all(self, attachment: Attachment) -> None:
        """Another device has another MAC address: hosts that know the old one need not find out for themselves."""
        entries, vpc = self._table.entries, attachment.vpc
        for user in entries.users(attachment.key):
            match user:
                case Endpoint():
                    self._resolution.announce(vpc, user.address)
                case Service():
                    for endpoint in entries.users(user.key):
                        if isinstance(endpoint, Endpoint) and owns_sources(endpoint) and endpoint.service == user.id:
                            self._resolution.announce(vpc, endpoint.source_address)

    def _note(self, ifindex: int) -> None:
        if ifindex in self._vpcs:
            self._look_at(self._vpcs[ifindex])

    def _note_all(self) -> None:
        self._look_at(*self._attached)

    def _look_at(self, *vpcs: str) -> None:
        self._changed.update(vpcs)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        """What was heard may be past: only what is true now counts, and only for what is in use still."""
        while self._changed:
            attached = self._attached.get(self._changed.pop())
            if attached is None:
                continue
            target, in_use = attached.attachment.target, attached.in_use
            try:
                complaint = await asyncio.to_thread(self._devices.complaint, target, in_use)
            except (NetlinkError, OSError) as error:
                complaint = f"{target} cannot be looked at: {error}"
            if complaint and self._attached.get(attached.attachment.vpc) is attached:
                self._lose(attached.attachment, complaint)

    def _lose(self, attachment: Attachment, reason: str) -> None:
        self._take_out_of_use(attachment.vpc)
        self._difficulties.judge(attachment.key, reason)

    def _take_out_of_use(self, vpc: str) -> None:
        number = self._table.vpc_number(vpc)
        self._detach(vpc)
        self._table.put_device(number, NO_DEVICE)
        self._resolution.device_gone(number)

    def _detach(self, vpc: str) -> None:
        attached = self._attached.pop(vpc, None)
        if attached is not None:
            del self._vpcs[attached.in_use.device.ifindex]

    def _namespace(self, target: Target) -> NamespaceIdentity | None:
        name = self._devices.namespace(target)
        return namespace_identity(name) if name else None
