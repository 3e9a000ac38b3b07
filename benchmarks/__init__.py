"""How fast Sidegate is, always beside something that everybody knows: `python -m benchmarks`."""

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")  # it would remark on each process that we start
