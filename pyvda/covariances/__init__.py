"""Covariances of named variables on their grids: fitted to samples, kept in files."""
