"""Endpoint services: what is published, and who connects to it."""
