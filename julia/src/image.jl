# The script of the process that writes a system image with VDA in it, for Julia before 1.9
# (pyvda/engine/julia/build_image.py); the argument is whether exceptions need the workaround:
#
#     julia -J BASE --output-o FILE image.jl true
#
# Such a process has not initialised Base: the folders of the standard library and standard output come first.

@eval Sys begin
    BINDIR = ccall(:jl_get_julia_bindir, Any, ())::String
    STDLIB = joinpath(BINDIR, "..", "share", "julia", "stdlib", "v$(VERSION.major).$(VERSION.minor)")
end
Base.init_depot_path()
Base.init_load_path()
Base.reinit_stdio()

module Exceptions
include(joinpath(@__DIR__, "boundary", "exceptions.jl"))
end
if ARGS[1] == "true"
    Exceptions.forget_compiled_code!() || error("the workaround for exceptions could not be applied")
end

include(joinpath(@__DIR__, "VDA.jl"))
VDA.run_everything_once()
