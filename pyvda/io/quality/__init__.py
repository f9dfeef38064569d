"""Values that a file itself calls bad or uncertain, and what cannot be assimilated."""
