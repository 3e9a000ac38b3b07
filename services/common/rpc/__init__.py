"""gRPC as every program serves it: identity, limits, errors, health, reflection."""
