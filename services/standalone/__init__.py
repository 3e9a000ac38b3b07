"""Every program in one terminal, with embedded NATS and SQLite: the default way to try Sidegate."""
