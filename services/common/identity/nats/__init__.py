"""Users of NATS: what the server takes for proof, and what each kind of user may say and hear."""
