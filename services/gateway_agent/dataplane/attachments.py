"""Attachments put into effect: devices made or found again, watched, and told to the table and to resolution."""

import asyncio
from typing import NamedTuple

from pyroute2 import NetlinkError

from services.gateway_agent.dataplane.devices import Devices, NamespaceIdentity, namespace_identity
from services.gateway_agent.dataplane.difficulties import Difficulties
from services.gateway_agent.dataplane.kernel_table import KernelTable
from services.gateway_agent.dataplane.links import LinkMonitor, is_up
from services.gateway_agent.dataplane.maps import NO_DEVICE
from services.gateway_agent.dataplane.port import NotReady
from services.gateway_agent.dataplane.resolution import Resolution
from services.gateway_agent.table import Attachment


class Attached(NamedTuple):
    """What was true when the device was put into use; when it is no longer, the device is of no use."""

    device: str
    ifindex: int
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
        self._attached: dict[str, Attached] = {}
        self._vpcs: dict[int, str] = {}  # by interface index
        self._monitor = LinkMonitor(self._changed, self._check_devices)

    def close(self) -> None:
        self._monitor.close()

    async def adopt(self) -> None:
        """Takes every device of the table as an earlier agent left it, with the program replaced by ours."""
        for attachment in self._table.entries.attachments():
            try:
                await self.put(attachment)
            except NotReady as error:
                self._lose(attachment, str(error))

    async def put(self, attachment: Attachment) -> None:
        try:
            device = await asyncio.to_thread(self._devices.attach, attachment, self._program_fd)
        except (NetlinkError, OSError) as error:
            raise NotReady(f"no device for VPC {attachment.vpc}: {error}") from error
        name = self._devices.name(attachment.vpc)
        self._table.put_attachment(attachment, device)
        self._detach(attachment.vpc)
        self._attached[attachment.vpc] = Attached(name, device.ifindex, namespace_identity(attachment.namespace))
        self._vpcs[device.ifindex] = attachment.vpc
        self._difficulties.clear(attachment.key)
        self._resolution.device_there(self._table.vpc_number(attachment.vpc), name)

    async def remove(self, attachment: Attachment) -> None:
        """First no packet passes, then the device goes, and last the record that says it was to go."""
        self._take_out_of_use(attachment.vpc)
        await asyncio.to_thread(self._devices.detach, attachment.vpc)
        self._table.remove_attachment(attachment.vpc)
        self._difficulties.clear(attachment.key)

    def check_namespaces(self) -> None:
        """Looks whether every namespace is still the one in which the device was made."""
        for vpc, attached in tuple(self._attached.items()):
            attachment = self._table.entries.attachment(vpc)
            if attachment and namespace_identity(attachment.namespace) != attached.namespace:
                where = f"network namespace {attachment.namespace}"
                self._lose(attachment, f"{where} went away, and device {attachment.device} with it")

    def _check_devices(self) -> None:
        for vpc in tuple(self._attached):
            self._check_device(vpc)

    def _check_device(self, vpc: str) -> None:
        attachment, attached = self._table.entries.attachment(vpc), self._attached[vpc]
        if attachment and not is_up(attached.device, attached.ifindex):
            where = f"network namespace {attachment.namespace}"
            self._lose(attachment, f"device {attachment.device} in {where} went away, or our end of it is down")

    def _changed(self, ifindex: int) -> None:
        if ifindex in self._vpcs:
            self._check_device(self._vpcs[ifindex])

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
            del self._vpcs[attached.ifindex]
