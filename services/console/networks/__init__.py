"""VPCs, and what is in them."""
