"""The HTTPS API: what existing SDKs and Terraform speak; a client of registry and endpoint service."""
