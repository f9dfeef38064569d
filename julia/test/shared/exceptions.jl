# Exceptions in tests, also where they would end the process: see boundary/exceptions.jl.

const EXCEPTIONS_WORK = success(`$(Base.julia_cmd()) --startup-file=no -e "f() = try; error(); catch; 1; end; f()"`) ||
                        VDA.forget_compiled_code!()
EXCEPTIONS_WORK || @info "this Julia crashes when compiled code throws: tests of caught exceptions are left out"
