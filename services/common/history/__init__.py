"""The past: what a log came to at any of its positions."""
