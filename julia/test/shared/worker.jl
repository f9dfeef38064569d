# A process of runtests.jl: it reads the paths of test files, runs each in a module of its own, and prints a line with
# the mark and the verdict when one has ended. Compiled code is shared by the files of a process.

include("exceptions.jl")
using VDA

redirect_stderr(stdout)
const MARK = ARGS[1]

function run_file(path)
    home = Module(:TestFile)
    Core.eval(home, :(include(file) = Base.include($home, file)))     # as `module` defines them
    Core.eval(home, :(eval(ex) = Core.eval($home, ex)))
    try
        Base.include(home, path)
        return true
    catch e
        showerror(stdout, e)
        return false
    end
end

for path in eachline(stdin)
    passed = run_file(path)
    println("\n", MARK, passed ? "passed" : "failed")
    flush(stdout)
end
