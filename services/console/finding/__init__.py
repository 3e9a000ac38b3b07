"""From the id of anything to its page."""
