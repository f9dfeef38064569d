# The entry points, called as C calls them.

"Call an entry point with numbers and arrays; the types are those of the table."
function called(name, arguments...)
    types = Tuple(VDA.C_TYPES[t] for (t, _) in Dict(VDA.signatures())[name])
    @test length(arguments) + 2 == length(types)
    buffer = zeros(UInt8, 400)
    code = ccall_with(Ptr{Cvoid}(UInt(VDA.entry_point(name))), Val(Tuple{types...}), (arguments..., buffer, 400))
    return code, String(buffer[1:findfirst(iszero, buffer)-1])
end
@generated ccall_with(f, ::Val{types}, arguments) where {types} =
    :(ccall(f, Cint, $(Expr(:tuple, types.parameters...)), $((:(arguments[$k]) for k in 1:length(types.parameters))...)))
const NO_POINTS = (0, 1, C_NULL, C_NULL, C_NULL, C_NULL, C_NULL, C_NULL)
