"""Endpoints: the ways to services."""
