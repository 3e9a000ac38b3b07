"""The console, looked at with a real browser, on one running Sidegate."""
