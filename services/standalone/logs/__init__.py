"""`make logs`: what all programs of a standalone say, as one story."""
