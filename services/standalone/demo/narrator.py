"""How the story is printed: steps, commands as a user would type them, and what was measured."""

import atexit
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

PICTURE = """\
  VPC shop, 10.0.0.0/24                       VPC payments, 10.0.0.0/24
 ┌──────────────────────┐   ┌─────────┐   ┌──────────────────────────────┐
 │ client 10.0.0.10     │   │ gateway │   │ HTTP server 10.0.0.10:8080   │
 │ endpoint, port 80 ───┼──▶│ (eBPF)  │──▶│ sees a source in 198.19.x.x  │
 └──────────────────────┘   └─────────┘   └──────────────────────────────┘
  asks for an endpoint       one way        publishes, permits, approves
"""


class Narrator:
    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._step = 0
        self._status = self._console.status("...")  # below what is told, on a terminal, while something goes on
        atexit.register(self._status.stop)

    def open(self) -> None:
        self._console.print(Text(PICTURE))

    def step(self, title: str) -> None:
        self._step += 1
        if self._console.is_terminal:
            self._status.update(f"{title} ...")
            self._status.start()
        self._console.print(f"\n[bold]{self._step}. {title}[/bold]")

    def command(self, account: str, arguments: Iterable[str]) -> None:
        self._console.print(
            Text(f"   $ sidegate --account {account} {' '.join(arguments)}", style="cyan"), soft_wrap=True
        )

    def tell(self, text: str) -> None:
        self._console.print(Text(f"   {text}"), soft_wrap=True)

    def measured(self, text: str) -> None:
        self._console.print(Text(f"   ✓ {text}", style="green"), soft_wrap=True)

    def lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._console.print(Text(f"     {line}", style="dim"), soft_wrap=True)

    def failed(self, text: str) -> None:
        self._status.stop()
        self._console.print(Text(f"   ✗ {text}", style="bold red"), soft_wrap=True)
