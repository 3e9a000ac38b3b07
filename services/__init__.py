"""Sidegate's programs: run as `python -m services.NAME`, never imported by a user's code."""
