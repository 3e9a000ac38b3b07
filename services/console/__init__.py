"""The management console: pages for people, made of what registry and endpoint service answer; a client of both."""
