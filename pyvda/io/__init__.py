"""Files: netCDF, zarr and tables in and out.

sources/   what a user has, as a Dataset: files, stores, URLs, groups, arrays
cf/        which variables, dimensions and times of it are those of a model's state
quality/   values that it calls bad or uncertain; what cannot be assimilated
tables/    tables with one row per datum, and data beside the grid of states
writing/   analyses and other Datasets to files, completely or not at all
"""
