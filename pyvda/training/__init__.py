"""Training of priors and solvers: configuration, data, losses, Lightning module, state."""
