"""The built-in models, each in one file: equations, presets, symmetries, the way to the attractor.

A file here needs nothing elsewhere but its Julia half, `julia/src/models/zoo/<name>.jl`. It defines
`FAMILY` and may define `PRESETS`. torch is imported inside functions, so that the Julia engine runs
without it.
"""
