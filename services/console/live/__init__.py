"""What happens, as it happens: one set of watches for each session, however many pages it has open."""
