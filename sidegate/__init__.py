"""Sidegate's public package: `client` (asyncio) and its `errors`, the contract in `api`, the command line in `cli`."""
