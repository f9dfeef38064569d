# The tests of VDA by itself: every other file of this folder and those below it. Two processes run them, each one file
# after another, so that most code is compiled once; a file at which a process ends without a word (see
# boundary/boundary.jl) is named, and another process runs those that are left. What a file prints appears when it has
# ended.
#
#     julia --startup-file=no --threads=2 --project=julia julia/test/runtests.jl [file ...]

include("shared/exceptions.jl")
using VDA           # here, where it may be compiled before the others load it

const HERE = @__DIR__

# The other files compile for longer than they run, and -O1 compiles them sooner; this one counts allocations that only
# -O2 removes.
const OPTIMISED = [joinpath("methods", "ensemble_smoother.jl")]

test_files() = sort([relpath(joinpath(folder, file), HERE) for (folder, _, files) in walkdir(HERE)
                     for file in files if endswith(file, ".jl") && basename(folder) != "shared" && file != "runtests.jl"])
const FILES = sort(isempty(ARGS) ? test_files() : ARGS, by = !in(OPTIMISED))       # each of these first, in a process of its own
const MARK = "test file "           # at the beginning of a line: what worker.jl prints after a file

start_worker(level) = open(`$(Base.julia_cmd()) -O$level --startup-file=no --threads=$(Threads.nthreads()) --project=$(dirname(HERE)) $(joinpath(HERE, "shared", "worker.jl")) $MARK`, "r+")

"    run_in(worker, file) -> what was printed, and the verdict: passed, failed, or that the process has ended"
function run_in(worker, file)
    printed = IOBuffer()
    println(worker, joinpath(HERE, file))
    flush(worker)
    for line in eachline(worker; keep = true)
        startswith(line, MARK) && return String(take!(printed)), chomp(line[length(MARK)+1:end])
        write(printed, line)
    end
    return String(take!(printed)), "the process has ended"
end

failed = String[]
function work_off(files)
    worker = nothing
    while !isempty(files)
        file = popfirst!(files)
        worker === nothing && (worker = start_worker(file in OPTIMISED ? 2 : 1))
        seconds = @elapsed (printed, verdict) = run_in(worker, file)
        print("julia/test/", file, ", ", round(Int, seconds), " s", verdict == "passed" ? "" : ": $verdict", "\n", printed)
        flush(stdout)
        verdict == "passed" || push!(failed, file)
        file in OPTIMISED && close(worker)
        (file in OPTIMISED || verdict == "the process has ended") && (worker = nothing)
    end
    worker === nothing || close(worker)
end

foreach(fetch, [@async(work_off(FILES)) for _ in 1:2])
println(isempty(failed) ? "all test files passed" : "failed: $(join(failed, ", "))")
isempty(failed) || exit(1)
