"""Use cases: which stream gets which command, and what is read back."""
