# VDA and what the tests of exceptions need. Where Julia was started from pyvda's system image, which has VDA in it
# (pyvda/engine/julia/image.py), that one is used, and most of a test's time, compiling, is saved; else the package.

include("exceptions.jl")
if isdefined(Main, :VDA)
    using .VDA
else
    using VDA
end
