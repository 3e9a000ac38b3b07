"""The data plane: the only room of the agent that touches the kernel."""
