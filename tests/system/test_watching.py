"""Watching through every program: the command line and a subscriber of the project's own hear of one change."""

import asyncio
import json
import stat
import subprocess
import sys
from pathlib import Path

from services.common.principal import Principal
from tests.support.standalone import Standalone
from tests.support.subscriber import Subscriber

PROGRAM = str(Path(sys.executable).with_name("sidegate"))
DEADLINE = 60.0


async def test_who_watches_and_who_subscribes_hear_of_a_service(tmp_path: Path) -> None:
    async with Standalone(tmp_path, rootless=True) as sidegate:
        url, data = f"nats://{sidegate.ready['nats']['address']}", Path(sidegate.ready["data_dir"])
        file = tmp_path / "payments.creds"
        made = sidegate.answer("credential", "create", "--events", "--out", str(file), account="payments")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        ready = ["--config", str(data / "ready.json"), "--account", "payments"]
        vpc = sidegate.answer("vpc", "create", "main", "--cidr", "10.0.0.0/24", account="payments")
        subscribed = Subscriber(tmp_path, url, Principal("payments", "default"), file)
        with subprocess.Popen(
            [PROGRAM, *ready, "service", "watch", "--from", "0", "-o", "json"], stdout=subprocess.PIPE, text=True
        ) as watching:
            try:
                async with subscribed:
                    create = ("service", "create", "web", "--vpc", vpc["id"], "--backend", "10.0.0.9", "--port", "80")
                    service = sidegate.answer(*create, account="payments")
                    assert watching.stdout is not None
                    async with asyncio.timeout(DEADLINE):
                        told = [json.loads(await asyncio.to_thread(watching.stdout.readline)) for _ in range(2)]
                    await subscribed.until(lambda: bool(subscribed.resources))
                    known = f"service/{service['id']}"
                    await subscribed.until(lambda: subscribed.resources[known]["what"] == "opened")
                    sidegate.answer("credential", "revoke", made["id"], account="payments")
                    await subscribed.ended()
                    assert "was revoked" in subscribed.said
            finally:
                watching.terminate()
        assert [(each["what"], each["service"]["id"]) for each in told] == [
            ("created", service["id"]),
            ("opened", service["id"]),
        ]
        assert subscribed.resources[known]["changes"] == 2
        assert subscribed.resources[known]["position"] == told[-1]["position"]
