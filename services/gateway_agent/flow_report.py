"""The flow log told to the control plane, which knows whose sessions they are and tells their projects by NATS.

An agent may publish nothing itself (docs/adr/0015): so nobody hears of a session but from who knows whose it is.
"""

from collections.abc import Sequence

from services.gateway_agent.control_plane import ControlPlane
from services.gateway_agent.flow_log import NotWritten
from services.gateway_agent.flows import FlowRecord
from services.gateway_agent.wire_flows import flow_message
from sidegate.errors import SidegateError


class FlowReport:
    def __init__(self, control: ControlPlane, one_of: int) -> None:
        self._control, self._one_of = control, one_of

    async def write(self, records: Sequence[FlowRecord]) -> None:
        try:
            await self._control.report_flows(
                [flow_message(each, self._control.gateway, self._one_of) for each in records]
            )
        except SidegateError as error:
            raise NotWritten(str(error)) from error
