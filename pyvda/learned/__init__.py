"""A trained model: its modules, its description, the observation pattern it was trained for."""
