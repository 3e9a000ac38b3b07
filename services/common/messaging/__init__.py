"""Messaging: logs published on NATS JetStream, and followed from there."""
