"""Files: netCDF and zarr in and out, CF conventions, tables of data, atomic writes."""
