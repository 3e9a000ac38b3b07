"""Watching a log: changes told to those who may see them, with the six promises that etcd made known."""
