"""Evidence that leaves the machine: heads of a log, signed now and then, in a file and on NATS."""
