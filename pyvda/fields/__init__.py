"""Gridded fields with gaps, and no model: files (time, y, x), their means, covariances and methods.

    file ─ field ▶ values on sea points ─ mean ▶ anomalies ─ a method ▶ estimate ─ output ▶ file

The methods are those of `pyvda.fields.methods`; `pyvda.assimilate` runs them.
"""
