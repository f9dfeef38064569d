"""Names, dimensions, units and times of a user's file: which are those of a model's state."""
