"""The endpoint service: endpoints with their connections, cells with their gateways, each cell's forwarding log."""
