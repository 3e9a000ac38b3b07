"""`make demo`."""

import os
import sys
import time

from services.standalone.demo.narrator import Narrator
from services.standalone.demo.stage import Failed, raised
from services.standalone.demo.story import Story


def main() -> int:
    if os.geteuid() != 0:
        print("make demo needs root: it makes network namespaces and programs the kernel (try: sudo make demo)")
        return 2
    narrator = Narrator()
    narrator.open()
    begun = time.monotonic()
    try:
        with raised("shop", "payments") as (sidegate, (shop, payments)):
            narrator.tell(f"every program runs, {time.monotonic() - begun:.1f} s after the start")
            Story(narrator, sidegate, shop, payments).tell()
    except Failed as failed:
        narrator.failed(str(failed))
        return 1
    except KeyboardInterrupt:
        narrator.failed("stopped; nothing is left behind")
        return 130
    narrator.tell(
        f"\n   Told in {time.monotonic() - begun:.0f} s; nothing is left behind. Go on with: make up, README.md"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
