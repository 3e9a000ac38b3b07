"""The command line: `sidegate NOUN VERB ...`."""
