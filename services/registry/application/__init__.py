"""Use cases: which stream, which command, what to read back."""
