"""The gateway agent: a cell's events become forwarding in the kernel."""
