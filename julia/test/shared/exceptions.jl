# Exceptions in tests, also where they would end the process: see src/boundary/exceptions.jl. To be included
# before `using VDA`: to compile a package Julia 1.5 removes an old file that need not exist, and catches the
# exception. A process finds out once (worker.jl), and its files take the answer from there.

if @__MODULE__() !== Main && isdefined(Main, :EXCEPTIONS_WORK)
    const EXCEPTIONS_WORK = Main.EXCEPTIONS_WORK
else
    include("../../src/boundary/exceptions.jl")
    in_child(code) = success(`$(Base.julia_cmd()) --startup-file=no -e $code`)
    const TRY_EXCEPTIONS = "include($(repr(joinpath(@__DIR__, "../../src/boundary/exceptions.jl"))));"
    const EXCEPTIONS_WORK = in_child(TRY_EXCEPTIONS * "survives_exceptions() || exit(1)") ||
                            (get(ENV, "PYVDA_KEEP_LIBUNWIND", "") != "1" &&
                             in_child(TRY_EXCEPTIONS * "forget_compiled_code!() && survives_exceptions() || exit(1)") &&
                             forget_compiled_code!())
    EXCEPTIONS_WORK || @info "this Julia crashes when compiled code throws: tests of caught exceptions are left out"
end
