"""A capture as a pcapng file: an interface for each device, direction and length of each packet."""

import warnings
from collections.abc import Sequence
from typing import BinaryIO

from pcapng import FileWriter, blocks

from sidegate.api.gateway.v1.tap_service_pb2 import CapturedPacket, CaptureHead
from sidegate.cli.taps import described

ETHERNET = 1
NANOSECONDS = b"\x09"  # the resolution of times: 10 to the power of minus 9
INBOUND, OUTBOUND = 1, 2
WORD = 1 << 32


class PcapngFile:
    """Begins with what the head says; every packet is whole in the file as soon as it is written."""

    def __init__(self, file: BinaryIO, head: CaptureHead) -> None:
        about = f"sidegate gateway capture, endpoint {head.endpoint_id} on gateway {head.gateway_id}"
        self._file = file
        self._section = blocks.SectionHeader(options={"shb_userappl": about})
        for device in head.devices:
            self._section.new_member(
                blocks.InterfaceDescription,
                link_type=ETHERNET,
                snaplen=head.snap_length,
                options={
                    "if_name": device.name,
                    "if_description": described(device),
                    "if_tsresol": NANOSECONDS,
                },
            )
        with warnings.catch_warnings():  # it finds fault with its own table of options
            warnings.simplefilter("ignore", DeprecationWarning)
            self._writer = FileWriter(file, self._section)
        file.flush()

    def write(self, packets: Sequence[CapturedPacket]) -> None:
        for packet in packets:
            high, low = divmod(packet.time.ToNanoseconds(), WORD)
            block = self._section.new_member(
                blocks.EnhancedPacket,
                interface_id=packet.device,
                timestamp_high=high,
                timestamp_low=low,
                packet_len=packet.length,
                packet_data=packet.data,
            )
            block.options["epb_flags"] = OUTBOUND if packet.outbound else INBOUND
            self._writer.write_block(block)
        self._file.flush()
