"""The calls of a client, grouped by what they are about."""
