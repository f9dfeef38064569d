"""Torch operations that run in Julia."""
