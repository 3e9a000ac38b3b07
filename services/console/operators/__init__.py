"""What only the operator sees and does."""
