"""The HTTPS API, driven as its users drive it, on one running Sidegate."""
