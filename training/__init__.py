"""From raw event logs to published models."""
