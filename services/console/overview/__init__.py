"""The picture of everything, live, and what waits for its reader."""
