"""Who makes a request: by its signature or its token."""
