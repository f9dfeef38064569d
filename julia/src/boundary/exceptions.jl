# Exceptions where Julia and the system's libunwind do not fit together.
#
# To print where an exception came from, Julia asks the library libunwind to walk up the stack. Julia
# tells it of the machine code that it compiles by records, which it adds by `_U_dyn_register` to a list.
# Debian 11's Julia 1.5.3 writes these in the layout of libunwind 1.3. Debian 12 has libunwind 1.6, whose
# record has one field more: it reads wild addresses in the list, and at the first exception with compiled
# code on the stack the process ends by a segmentation fault. Without the records exceptions work; what is
# lost is the part of a backtrace behind the first compiled function.
#
# `forget_compiled_code!` empties the list and overwrites the first instruction of the two functions that
# change it, in the memory of this process alone, so that they return at once. It is for processes in which
# exceptions were seen to end Julia, and only after a process of its own has survived the same
# (pyvda/engine/julia/start_libjulia.py, test/shared/exceptions.jl). PYVDA_KEEP_LIBUNWIND=1 declines it.
# This file does without the rest of VDA, so that it can be tried alone.

using Libdl: dlopen_e, dlsym_e

const RETURN = 0xc3             # the instruction, of x86-64
const PAGE = UInt(4096)         # bytes of memory whose protection changes together, of x86-64
const READ_WRITE_EXECUTE, READ_EXECUTE = Cint(7), Cint(5)

"""
    forget_compiled_code!() -> whether libunwind has no records of Julia's compiled code, and gets none

False, with nothing changed, where the workaround is not for this Julia and machine, or the memory of
libunwind's functions cannot be made writable.
"""
function forget_compiled_code!()
    Sys.islinux() && Sys.ARCH === :x86_64 && VERSION < v"1.6" || return false
    library = dlopen_e("libunwind.so.8")
    library == C_NULL && return false
    functions = [dlsym_e(library, name) for name in (:_U_dyn_register, :_U_dyn_cancel)]
    list_address = dlsym_e(library, :_U_dyn_info_list_addr)
    (C_NULL in functions || list_address == C_NULL) && return false
    list = ccall(list_address, Ptr{Ptr{Cvoid}}, ())
    list == C_NULL && return false
    pages = unique(UInt.(functions) .& ~(PAGE - 1))
    writable = map(page -> protect(page, READ_WRITE_EXECUTE), pages)
    if all(writable)
        for f in functions
            unsafe_store!(Ptr{UInt8}(f), RETURN)
        end
        unsafe_store!(list, C_NULL, 2)          # behind two numbers of 32 bits: the first record
    end
    restored = map(page -> protect(page, READ_EXECUTE), pages)
    return all(writable) && all(restored)
end

protect(page, flags) =
    ccall(:mprotect, Cint, (Ptr{Cvoid}, Csize_t, Cint), Ptr{Cvoid}(page), PAGE, flags) == 0

"    survives_exceptions() -> true, after exceptions that passed through compiled code; or this process ends"
function survives_exceptions()
    for depth in (0, 3)
        caught = false
        try
            throw_below(depth)
        catch
            caught = !isempty(stacktrace(catch_backtrace()))
        end
        caught || return false
    end
    return true
end
@noinline throw_below(depth) = depth == 0 ? error("thrown to be caught") : 1 + throw_below(depth - 1)
