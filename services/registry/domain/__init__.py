"""What the registry decides: pure states, commands, events and rules."""
