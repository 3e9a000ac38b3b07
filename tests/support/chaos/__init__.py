"""What breaks things on purpose, and what looks whether anything came to harm."""
