# The tests of VDA by itself: every other file of this folder and those below it, each in a process of its own, so that
# one that ends without a word (see boundary/boundary.jl) is named and the others still run. Two run at a time; what one
# prints appears when it has ended.
#
#     julia --startup-file=no --threads=2 --project=julia julia/test/runtests.jl [file ...]

include("shared/exceptions.jl")
using VDA           # here, where it may be compiled before the others load it

const HERE = @__DIR__
test_files() = sort([relpath(joinpath(folder, file), HERE) for (folder, _, files) in walkdir(HERE)
                     for file in files if endswith(file, ".jl") && basename(folder) != "shared" && file != "runtests.jl"])
const FILES = isempty(ARGS) ? test_files() : ARGS

failed = String[]
asyncmap(FILES; ntasks = 2) do file
    path = joinpath(HERE, file)
    command = `$(Base.julia_cmd()) --startup-file=no --threads=$(Threads.nthreads()) --project=$(dirname(HERE)) $path`
    printed = IOBuffer()
    seconds = @elapsed passed = success(pipeline(command, stdout = printed, stderr = printed))
    print("julia/test/", file, ", ", round(Int, seconds), " s\n", String(take!(printed)))
    flush(stdout)
    passed || push!(failed, file)
end
println(isempty(failed) ? "all test files passed" : "failed: $(join(failed, ", "))")
isempty(failed) || exit(1)
