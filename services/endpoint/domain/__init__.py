"""What is decided here, as pure functions: endpoints, gateways, forwarding entries, and reports."""
