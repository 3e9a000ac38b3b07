"""`python -m services.standalone`: the composition root of everything in one terminal."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from services.common.identity import pki
from services.common.messaging.server import ServerFailed
from services.common.program import run
from services.common.telemetry.log_file import RotatingFile
from services.common.telemetry.logs import configure_logging
from services.standalone.data_directory import DataDirectory, Unfit
from services.standalone.ports import PortTaken
from services.standalone.settings import StandaloneSettings
from services.standalone.supervisor import DidNotStart
from services.standalone.system import System


def banner(system: System, data: DataDirectory) -> str:
    facts = system.facts
    http, console = facts["http_api"], facts["console"]
    lines = [
        f"registry  {facts['registry']['grpc']}",
        f"endpoint  {facts['endpoint']['grpc']}",
        f"https     {http['https'] if http else 'none: --no-http'}  (Huawei Cloud SDK, Terraform; CA {facts['ca']})",
        f"console   {console['https'] if console else 'none: --no-console'}{_how_to_sign_in(facts) if console else ''}",
        f"gateway   {data.gateway_socket if facts['gateway'] else 'none: ' + system.no_gateway}",
        f"data      {data.path}  (make logs shows {data.path / 'logs'})",
        f"operator  {data.operator_credential}  (its access key; the command line finds it)",
        "",
        f"try       .venv/bin/sidegate --data-dir {data.path} vpc create shop --cidr 10.0.0.0/24",
        "          README.md goes on from there. Ctrl-C ends all of it; the data stays.",
    ]
    return "\n".join(lines)


def _how_to_sign_in(facts: Mapping[str, Any]) -> str:
    return f"""
          sign in with the access key in {facts["credential"]};
          tenants with theirs: sidegate account create NAME
          the browser trusts it with the CA {facts["ca"]} imported as an authority for websites"""


async def serve(settings: StandaloneSettings, data: DataDirectory) -> None:
    system = System(settings, data)
    try:
        await system.start()
        Console(soft_wrap=True).print(Text(f"Sidegate {system.facts['version']}\n\n{banner(system, data)}"))
        await asyncio.Event().wait()
    finally:
        await system.stop()


def main() -> int:
    settings = StandaloneSettings()
    configure_logging("standalone", settings.log_level)
    data = DataDirectory(settings.data_dir)
    try:
        data.open()
        configure_logging("standalone", settings.log_level, copy=RotatingFile(data.log("standalone")))
        run(serve(settings, data))
    except (Unfit, pki.Unfit, PortTaken, DidNotStart, ServerFailed, OSError) as error:
        print(f"standalone: {error}", file=sys.stderr)
        return 1
    finally:
        data.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
