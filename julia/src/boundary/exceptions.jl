# Exceptions with an incompatible libunwind.
#
# Debian 11's Julia 1.5.3 registers the code that it compiles with libunwind, in the layout of libunwind
# 1.3. With Debian 12's libunwind 1.6, whose record has one more field, the first exception that passes
# through compiled code reads invalid addresses and ends the process. Julia needs these records only for
# backtraces: without them exceptions work, and a backtrace ends at the first compiled function.

using Libdl: dlopen_e, dlsym_e

const RETURN = 0xc3             # the instruction, of x86-64

"""
    forget_compiled_code!() -> whether the records of Julia's compiled code were removed from libunwind

Removes the existing records, and makes the functions that add or cancel one return immediately. For a
process in which exceptions do not work.
"""
function forget_compiled_code!()
    library = dlopen_e("libunwind.so.8")
    (library == C_NULL || Sys.ARCH !== :x86_64) && return false
    for name in (:_U_dyn_register, :_U_dyn_cancel)
        at = dlsym_e(library, name)
        at == C_NULL && return false
        page = Ptr{Cvoid}(UInt(at) & ~UInt(0xfff))
        protect(flags) = ccall(:mprotect, Cint, (Ptr{Cvoid}, Csize_t, Cint), page, 8192, flags) == 0
        protect(7) || return false              # read, write, execute
        unsafe_store!(Ptr{UInt8}(at), RETURN)
        protect(5)                              # read, execute
    end
    address = dlsym_e(library, :_U_dyn_info_list_addr)
    address == C_NULL && return false
    list = ccall(address, Ptr{Ptr{Cvoid}}, ())
    unsafe_store!(list, C_NULL, 2)              # the first record, after two numbers of 32 bits
    return true
end
