"""What a program tells of itself: logs, traces, metrics."""
