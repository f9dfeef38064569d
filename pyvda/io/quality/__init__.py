"""Values that a file itself marks as bad or uncertain, or that cannot be assimilated."""
