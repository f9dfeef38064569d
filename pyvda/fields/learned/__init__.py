"""Networks that fill fields with gaps, trained on the user's own file.

    field ─ draws ▶ samples ─ networks ▶ estimates ─ tiles ▶ whole domain

`configuration` is what `pyvda train` reads, `train` runs it, `model` is the result on the disk, and
`method` uses it, as a method for fields beside `oi` and `eof`. Networks learn a correction of a
first guess and of its error: optimal interpolation, or the mean. `windows` puts those of a twin
experiment behind one another, and `shipping` a network into the package.
"""
