"""Tables with one row per datum, and data beside the grid of states."""
