"""What operators see: metrics, logs, traces, today's numbers."""
