"""The resolvers of VPCs: which names endpoints have now, and the DNS servers that say so."""
