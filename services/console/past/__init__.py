"""What happened, and any moment of it as it was."""
