"""The command line: `sidegate NOUN VERB ...`."""

import os

# gRPC's core writes about connections to stderr, where a user reads errors only.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
