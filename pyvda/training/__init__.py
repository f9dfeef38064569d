"""What `pyvda.train` is made of: data, losses, Lightning module, state to resume from, record."""
