"""Figures of analyses."""
