"""HTTPS for the programs that speak it: uvicorn within bounds, and a word on how they are."""
