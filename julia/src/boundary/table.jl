# The entry points as C functions, generated from boundary/signatures.txt.

const C_TYPES = Dict("int" => Int64, "real" => Float64, "ints" => Ptr{Int64}, "reals" => Ptr{Float64},
                     "numbers" => Ptr{Cvoid}, "bytes" => Ptr{UInt8}, "addresses" => Ptr{Cvoid})
const SIGNATURES = joinpath(@__DIR__, "signatures.txt")
include_dependency(SIGNATURES)

"    signatures() -> the name of each entry point with its arguments, pairs of type and name"
function signatures()
    groups = Dict{String,String}()
    found = Pair{String,Vector{Pair{String,String}}}[]
    for line in eachline(SIGNATURES)
        (isempty(Base.strip(line)) || startswith(line, "#")) && continue
        (name, rest) = String.(Base.strip.(split(line; limit = 2)))
        written = join((get(groups, Base.strip(a), a) for a in split(rest, ",")), ",")
        if startswith(name, "*")
            groups[name[2:end]] = written
        else
            arguments = split.(split(written * ", bytes message, int capacity", ","))
            push!(found, name => [String(type) => String(argument) for (type, argument) in arguments])
        end
    end
    return found
end

# The C function of an entry point calls `c_name` with its arguments by name.
for (name, arguments) in signatures()
    (c_name, named) = (Symbol("c_", name), [Symbol(argument) for (_, argument) in arguments])
    types = Expr(:tuple, (C_TYPES[type] for (type, _) in arguments)...)
    @eval $c_name($(named...)) = $c_name(($((:($n = $n) for n in named)...),))
    @eval address(::Val{$(QuoteNode(Symbol(name)))}) = @cfunction($c_name, Cint, $types)
end

"    entry_point(name) -> address of a function for C"
entry_point(name::AbstractString) = UInt64(UInt(address(Val(Symbol(name)))))
