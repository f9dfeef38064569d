# Transformation of the functions in a user's file that the kernels call. They are inlined into the loop
# that calls them, and a product plus a sum becomes one instruction, as the models in models/zoo do
# explicitly by `@inline` and `muladd`; together this halves the time of a descent. A processor without
# such an instruction, and a simulation (numbers/unfused.jl), round the product as written.

const KERNEL_FUNCTIONS = (:tendency, :tangent_linear, :adjoint, :parameter_tangent, :parameter_adjoint, :each_place, :map_places!)

"    for_kernels(ex) -> the expression, inlined and fused if it defines a function that the kernels call"
for_kernels(ex) = ex
function for_kernels(ex::Expr)
    ex.head in (:function, :(=)) && length(ex.args) == 2 && defined_name(ex.args[1]) in KERNEL_FUNCTIONS || return ex
    return Expr(:macrocall, GlobalRef(Base, Symbol("@inline")), LineNumberNode(0), Expr(ex.head, ex.args[1], fused(ex.args[2])))
end

"    defined_name(ex) -> the name of the function that a method with this signature belongs to, or nothing"
defined_name(ex) = nothing
function defined_name(ex::Expr)
    ex.head in (:where, :(::)) && return defined_name(ex.args[1])
    ex.head === :call || return nothing
    f = ex.args[1]
    f isa Expr && f.head === :. && f.args[2] isa QuoteNode && (f = f.args[2].value)
    return f isa Symbol ? f : nothing
end

# Through these the values of sums and products reach the result unchanged. Other calls (sqrt, ^, /, <)
# keep their arguments: sqrt(x * x - y * y) of x = y is 0 as written, and may be NaN fused.
const FUSED_INSIDE = (:block, :return, :tuple, :vect, :if, :elseif, :for, :while, :let, :(=), :->, :function, :local)
const FUSED_MACROS = (Symbol("@inbounds"), Symbol("@simd"))

"    fused(ex) -> the same with `muladd(a, b, c)` for a * b + c, a * b - c and c - a * b, not inside other calls"
fused(ex) = ex
function fused(ex::Expr)
    ex.head in (:if, :elseif, :while) && return Expr(ex.head, ex.args[1], map(fused, ex.args[2:end])...)
    ex.head in FUSED_INSIDE && return Expr(ex.head, map(fused, ex.args)...)
    ex.head === :macrocall && ex.args[1] in FUSED_MACROS && return Expr(:macrocall, map(fused, ex.args)...)
    ex.head === :call || return ex
    ex.args[1] in (:+, :-, :*) || return Expr(:call, fused(ex.args[1]), ex.args[2:end]...)
    (f, terms) = (ex.args[1], map(fused, ex.args[2:end]))
    f === :+ && length(terms) > 1 && return foldl(sum_of, terms)
    f === :- && length(terms) == 2 && return difference_of(terms...)
    return Expr(:call, f, terms...)
end

is_product(ex) = ex isa Expr && ex.head === :call && ex.args[1] === :* && length(ex.args) > 2
"    factors(ex) -> the product of all but the last factor, and the last"
factors(ex) = (length(ex.args) == 3 ? ex.args[2] : Expr(:call, ex.args[1:end-1]...), ex.args[end])
muladd_of(a, b, c) = Expr(:call, GlobalRef(Base, :muladd), a, b, c)
sum_of(a, b) = is_product(b) ? muladd_of(factors(b)..., a) : is_product(a) ? muladd_of(factors(a)..., b) : :($a + $b)
function difference_of(a, b)
    is_product(b) && return ((x, y) = factors(b); muladd_of(:(-$x), y, a))
    return is_product(a) ? muladd_of(factors(a)..., :(-$b)) : :($a - $b)
end
