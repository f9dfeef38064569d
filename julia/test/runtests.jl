# The tests of VDA by itself: every other file of this folder, each in a process of its own, so that
# one that ends without a word (see boundary.jl) is named and the others still run.
#
#     julia --startup-file=no --threads=2 --project=julia julia/test/runtests.jl [file ...]

using VDA           # here, where it may be compiled before the others load it

const HERE = @__DIR__
const FILES = isempty(ARGS) ? sort(filter(endswith(".jl"), readdir(HERE))) : ARGS

failed = String[]
for file in FILES
    file == "runtests.jl" && continue
    println("julia/test/", file)
    flush(stdout)
    path = joinpath(HERE, file)
    command = `$(Base.julia_cmd()) --startup-file=no --threads=$(Threads.nthreads()) --project=$(dirname(HERE)) $path`
    success(pipeline(command, stdout = stdout, stderr = stderr)) || push!(failed, file)
end
println(isempty(failed) ? "all test files passed" : "failed: $(join(failed, ", "))")
isempty(failed) || exit(1)
