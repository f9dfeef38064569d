"""Dynamical models."""
