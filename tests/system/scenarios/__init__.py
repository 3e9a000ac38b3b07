"""Pictures of the product that run: real servers and clients in network namespaces, to be tested and to be watched."""
