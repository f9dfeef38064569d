"""Observation operators."""
