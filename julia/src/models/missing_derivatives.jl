# Derivatives by dual numbers, where the file of a model does not define them.
#
# Only the model argument has a type, so that a method in a user's file is always more specific.

"    seeded(x, d) -> dual numbers with the values x and one derivative each, d"
@inline seeded(x::NTuple{D,Any}, d::NTuple{D,Any}) where {D} = ntuple(Val(D)) do i
    V = promote_type(typeof(x[i]), typeof(d[i]))
    Dual(V(x[i]), (V(d[i]),))
end
"    independent(x) -> dual numbers with the values x, each in its own direction"
@inline independent(x::NTuple{D,Any}) where {D} =
    ntuple(i -> Dual(x[i], ntuple(k -> i == k ? one(x[i]) : zero(x[i]), Val(D))), Val(D))
@inline partial(y::Dual, k) = y.partials[k]
@inline partial(y::Real, k) = zero(y)                           # y does not depend on the arguments

"    tangent_linear(m, x, δ) -> 𝐌(x) δ"
@inline tangent_linear(m::SmallModel, x, δ) = firsts(tendency(m, seeded(Tuple(x), Tuple(δ))))
@inline firsts(y::NTuple{D,Any}) where {D} = ntuple(i -> partial(y[i], 1), Val(D))

"    adjoint(m, x, v) -> 𝐌(x)ᵀ v"
@inline adjoint(m::SmallModel, x, v) = against(Tuple(v), tendency(m, independent(Tuple(x))), size_of(m))
"    against(v, y, Val(P)) -> Σ v ∂y/∂k for each direction k"
@inline against(v::Tuple, y::Tuple, ::Val{P}) where {P} = ntuple(k -> sum_against(v, y, k), Val(P))
@inline sum_against(v::Tuple{Any}, y::Tuple{Any}, k) = v[1] * partial(y[1], k)
@inline sum_against(v::Tuple, y::Tuple, k) =
    muladd(v[1], partial(y[1], k), sum_against(Base.tail(v), Base.tail(y), k))

"    parameter_tangent(m, x, θ′) -> ∂f/∂θ θ′"
@inline parameter_tangent(m::SmallModel, x, θ′) =
    firsts(tendency(with_parameters(m, seeded(parameters(m), Tuple(θ′))), Tuple(x)))

"    parameter_adjoint(m, x, v) -> (∂f/∂θ)ᵀ v"
@inline function parameter_adjoint(m::SmallModel, x, v)
    θ = independent(parameters(m))
    return against(Tuple(v), tendency(with_parameters(m, θ), Tuple(x)), count_of(θ))
end

# A large model without derivatives by its parameters: one place at a time.
@inline parameter_tangent(m::LargeModel, x, θ′, s) =
    partial(tendency(with_parameters(m, seeded(parameters(m), Tuple(θ′))), x, s), 1)
@inline function parameter_adjoint(m::LargeModel, x, v)
    θ = independent(parameters(m))
    dual = with_parameters(m, θ)
    sums = Ref(map(t -> zero(promote_type(eltype(v), typeof(t.value))), θ))
    each_place(m) do s
        y = tendency(dual, x, s)
        sums[] = ntuple(k -> muladd(v[s.i], partial(y, k), sums[][k]), count_of(θ))
    end
    return sums[]
end
