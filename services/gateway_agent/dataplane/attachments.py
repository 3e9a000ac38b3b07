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
        self._monitor = LinkMonitor(self._changed, self.check)

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
        except NetlinkError as error:
            raise NotReady(f"no device for VPC {attachment.vpc}: {error}") from error
        self._table.put_attachment(attachment, device)
        self._attached[attachment.vpc] = Attached(
            self._devices.name(attachment.vpc), device.ifindex, namespace_identity(attachment.namespace)
        )
        self._difficulties.clear(attachment.key)
        self._resolution.device_there(self._table.vpc_number(attachment.vpc), self._devices.name(attachment.vpc))

    async def remove(self, attachment: Attachment) -> None:
        """First no packet passes, then the device goes, and last the record that says it was to go."""
        number = self._table.vpc_number(attachment.vpc)
        self._attached.pop(attachment.vpc, None)
        self._table.put_device(number, NO_DEVICE)
        self._resolution.device_gone(number)
        await asyncio.to_thread(self._devices.detach, attachment.vpc)
        self._table.remove_attachment(attachment.vpc)
        self._difficulties.clear(attachment.key)

    def check(self) -> None:
        """Looks whether every device is still there and up, in the namespace in which it was made."""
        for attachment in self._table.entries.attachments():
            attached = self._attached.get(attachment.vpc)
            if attached is None:
                continue
            where = f"network namespace {attachment.namespace}"
            if namespace_identity(attachment.namespace) != attached.namespace:
                self._lose(attachment, f"{where} went away, and device {attachment.device} with it")
            elif not is_up(attached.device, attached.ifindex):
                self._lose(attachment, f"device {attachment.device} in {where} went away or is down")

    def _changed(self, ifindex: int) -> None:
        if any(attached.ifindex == ifindex for attached in self._attached.values()):
            self.check()

    def _lose(self, attachment: Attachment, reason: str) -> None:
        number = self._table.vpc_number(attachment.vpc)
        self._attached.pop(attachment.vpc, None)
        self._table.put_device(number, NO_DEVICE)
        self._resolution.device_gone(number)
        self._difficulties.judge(attachment.key, reason)
