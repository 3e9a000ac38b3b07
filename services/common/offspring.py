"""Programs that end with the one that started them, however that ends: nothing of ours runs on without a keeper."""

import os
from collections.abc import Sequence

_UNLESS_ORPHANED = '[ "$PPID" = "$0" ] && exec "$@"'


def ends_with_us(command: Sequence[str]) -> list[str]:
    """The command under which the kernel sends SIGTERM to it when the thread that starts it ends (prctl(2), PDEATHSIG).

    That is said before the program's first instruction: one that said it of itself, half a second of imports later,
    could be an orphan by then, would never hear of it, and would hold its port for good. Who died before it was said is
    found by asking for the parent once more. `preexec_fn` would do both, but forks under the threads of gRPC.
    """
    return ["setpriv", "--pdeathsig", "TERM", "sh", "-c", _UNLESS_ORPHANED, str(os.getpid()), *command]
