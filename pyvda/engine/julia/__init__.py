"""The Julia engine: its two starts, and the calls of its entry points."""
