"""The door: in with an access key, out again, and what a visitor chooses for himself."""
