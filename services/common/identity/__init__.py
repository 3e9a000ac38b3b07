"""How callers prove who they are: tokens for people and tenants, certificates for programs."""
