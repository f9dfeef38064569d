"""What `pyvda.check` is made of.

`derivatives` measures, `single` judges by a tolerance, `on_torch` and `on_engine` say of which
functions, `windows` on which observations.
"""
