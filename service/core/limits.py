"""What requests and the data that models learn from must both keep to."""

LONGEST_ID = 256
"""Characters of an id that a request may name; training drops what nobody could ask for."""
