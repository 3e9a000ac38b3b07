"""Domain events as they are stored and published, and resources as callers see them."""
