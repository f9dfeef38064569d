"""What `pyvda.check` is made of.

`derivatives` measures, `single` judges by a tolerance, `on_torch`, `on_engine`, `on_points` and
`on_parameters` say of which functions, `windows` on which observations.
"""
