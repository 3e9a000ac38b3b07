"""Event sourcing: deciders, aggregates and the stores that keep their events."""
