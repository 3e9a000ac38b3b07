"""The registry: VPC inventory and endpoint services; the only allocator of addresses."""
