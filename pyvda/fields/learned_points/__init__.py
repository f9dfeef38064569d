"""Networks that correct optimal interpolation of data at points, trained on the user's own tracks.

    passes ─ draws ▶ targets ─ interpolation, nearest data ▶ network ▶ corrected estimate

`configuration` is what `pyvda train` reads, `train` runs it, `model` is the result on the disk, and
`method` uses it, on a grid and at the data. The network sees the data around a target and the
interpolation there (`neighbours`), and changes the weights that the interpolation gives to them
(`network`): a file with as few passes as a real one is enough to learn from, and where nothing is
learned the estimate is the interpolation.
"""
