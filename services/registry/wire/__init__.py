"""Domain events and their stored, published form; resources as the contract has them."""
