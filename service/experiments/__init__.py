"""A/B experiments: which variant a group sees, and a record of what it saw."""
