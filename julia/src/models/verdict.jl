# Checks the derivatives of a model: compares its tangent linear and adjoint at several states with the
# Jacobian by dual numbers, or by differences if the model's functions do not work on dual numbers.

"The entry of the Jacobian, counted from 1, with the largest error."
struct Entry
    what::String                        # the function that computes it
    row::Int
    column::Int
    expected::Float64
    found::Float64
    error::Float64                      # |found - expected|
    tolerance::Float64                  # the largest error that rounding explains
end
is_right(e::Entry) = e.error <= e.tolerance

"Result of the check: an entry for each derivative that the model's file defines."
struct Verdict
    reference::String                   # the method that the derivatives were compared with
    worst::Vector{Entry}
end
is_right(v::Verdict) = all(is_right, v.worst)

const DENSE = 400                       # components up to which every entry is compared
const EXACT, ROUGH = 1e-8, 1e-5         # allowed error relative to the compared entries: dual numbers, differences

"""
    verdict(m, with_parameters = false) -> a Verdict, or a sentence if the model returns values that are not finite

Check `tangent_linear` and `adjoint` of the model and, if requested, the derivatives by its parameters.
"""
function verdict(m, with_parameters = false)
    rng = MersenneTwister(20)
    maps = linear_maps(m)
    found = Verdict(maps.exact ? "dual numbers" : "differences", Entry[])
    refused = check!(found, m, maps, rng, given_names(m))
    refused === nothing && with_parameters && knows_parameters(m) || return something(refused, found)
    extended = WithParameters(m)
    refused = check!(found, extended, linear_maps(extended), rng, parameter_names_given(m))
    return something(refused, found)
end

"    given_names(m) -> the names of the tangent linear and the adjoint; nothing for one that is not defined"
given_names(m::SmallModel) = (gives(tangent_linear, wrapper(typeof(m)), 1, 3) ? "tangent_linear" : nothing,
                              gives(adjoint, wrapper(typeof(m)), 1, 3) ? "adjoint" : nothing)
given_names(::LargeModel) = ("tangent_linear", "adjoint")
given_names(::VectorModel) = ("tangent_linear!", "adjoint!")
function parameter_names_given(m::Model)
    W = wrapper(typeof(m))
    m isa VectorModel && return ("parameter_tangent!", "parameter_adjoint!")
    m isa LargeModel && return ("parameter_tangent", "parameter_adjoint")   # those by dual numbers, too: place by place
    return (gives(parameter_tangent, W, 1, 3) ? "parameter_tangent" : nothing,
            gives(parameter_adjoint, W, 1, 3) ? "parameter_adjoint" : nothing)
end

const STATES = 3

function check!(found, m, maps, rng, (tangent_name, adjoint_name))
    worst = Dict{String,Entry}()
    for _ in 1:STATES
        x = test_state(m, rng)
        values = maps.value(x)
        bad = findfirst(!isfinite, values)
        bad === nothing || return "component $bad of the $(maps.form) at a random state is $(values[bad])$(m isa VectorModel ? ", or is not written" : "")"
        isequal(maps.value(x), values) ||
            return "the $(maps.form) of $(nameof(typeof(own(m)))) gives other values when it is called again with the same state; it must not be random and must not keep a state"
        tangent(δ) = maps.tangent(x, δ)
        for (name, e) in (
            tangent_name => tangent_name === nothing ? nothing :
                worst_entry(tangent_name, length(m), rng, maps.exact ? EXACT : ROUGH, δ -> maps.expected(x, δ), tangent),
            adjoint_name => adjoint_name === nothing ? nothing :
                worst_of_adjoint(adjoint_name, length(m), rng, tangent, v -> maps.adjoint(x, v)),
        )
            name === nothing && continue
            haskey(worst, name) && ratio(worst[name]) >= ratio(e) || (worst[name] = e)
        end
    end
    append!(found.worst, (worst[name] for name in (tangent_name, adjoint_name) if name !== nothing))
    return nothing
end
own(m::Model) = m isa AnyWithParameters ? m.m : m
ratio(e::Entry) = isnan(e.error) ? Inf : e.error / e.tolerance

"    report(v, m) -> a Verdict as lines of words separated by tabs"
report(v::Verdict, m) = join(["reference\t$(v.reference)"; [join(("entry", e.what, e.row, e.column, e.expected, e.found,
    e.error, e.tolerance, component_name(m, e.row), component_name(m, e.column)), "\t") for e in v.worst]], "\n")

"""
    test_state(m, rng) -> a state near one from which the model starts, or standard normal numbers

Behind it stand the parameters where `m` has them in its state: other ones than its own, which would hide
a derivative taken at those, and towards zero, so that they keep their sign and a bound on their size.
"""
function test_state(m, rng)
    D = length(m)
    inner = m isa AnyWithParameters ? m.m : m
    x = gives(start, wrapper(typeof(inner)), 1, 2) ? collect(Float64, vec(collect(start(inner, rng)))) : randn(rng, length(inner))
    return m isa AnyWithParameters ? vcat(x, [(1 - 0.1 * rand(rng)) * θ for θ in parameters(inner)]) : x
end

# --- the maps: x, δ -> vectors -------------------------------------------------------------------------

linear_maps(m::SmallModel) = (
    exact = true, form = "tendency",
    value = x -> collect(tendency(m, Tuple(x))),
    expected = (x, δ) -> collect(firsts(tendency(m, seeded(Tuple(x), Tuple(δ))))),
    tangent = (x, δ) -> collect(tangent_linear(m, Tuple(x), Tuple(δ))),
    adjoint = (x, v) -> collect(adjoint(m, Tuple(x), Tuple(v))),
)

function linear_maps(m::LargeModel)
    value(x) = tendency!(similar(x), m, x)
    dual(x, δ) = [partial(y, 1) for y in tendency!(Vector{Dual{1,Float64}}(undef, length(x)), m, collect(seeded_vector(x, δ)))]
    exact = works(() -> dual(ones(length(m)), ones(length(m))))
    return (exact = exact, form = "tendency", value = value,
            expected = exact ? dual : (x, δ) -> difference(value, x, δ),
            tangent = (x, δ) -> tangent_linear!(similar(x), m, x, δ), adjoint = (x, v) -> adjoint!(similar(x), m, x, v))
end
seeded_vector(x, δ) = [Dual(a, (b,)) for (a, b) in zip(x, δ)]
"    attempt(f) -> f(), or nothing if it fails"
function attempt(f)
    try
        return f()
    catch
        return nothing
    end
end
works(f) = attempt(() -> (f(); true)) === true

function linear_maps(m::VectorModel)
    ws = VectorStepWorkspace(m)
    h = Float64(time_step(m isa AnyWithParameters ? m.m : m))
    steps = has_own_step(m)
    # What a function does not write would keep the values of an earlier call.
    blank() = (fill!(ws.out.flat, NaN); ws)
    value(x) = steps ? copy(own_step!(blank(), m, x, h)) : copy(rate!(tendency!, blank(), m, x, nothing))
    return (exact = false, form = steps ? "step" : "tendency", value = value, expected = (x, δ) -> difference(value, x, δ),
            tangent = (x, δ) -> copy(rate!(tangent_linear!, blank(), m, x, δ)), adjoint = (x, v) -> copy(rate!(adjoint!, blank(), m, x, v)))
end

"    difference(f, x, δ) -> ∂f/∂x δ by central differences with two widths, of fourth order"
function difference(f, x, δ)
    size = maximum(abs, δ)
    size == 0 && return zero(x)
    ε = 1e-3 * max(1.0, maximum(abs, x)) / size
    central(ε) = (f(x .+ ε .* δ) .- f(x .- ε .* δ)) ./ 2ε
    return (4 .* central(ε / 2) .- central(ε)) ./ 3
end

# --- which entry is wrong ---------------------------------------------------------------------------------

unit(D, j) = [i == j ? 1.0 : 0.0 for i in 1:D]
matrix_of(f, D) = reduce(hcat, [f(unit(D, j)) for j in 1:D])

"    worst_entry(what, D, rng, tolerance, expected, given) -> the entry in which two linear maps differ most"
function worst_entry(what, D, rng, tolerance, expected, given)
    D <= DENSE && return compare(what, tolerance, matrix_of(expected, D), matrix_of(given, D))
    δ = randn(rng, D)
    (wanted, found) = (expected(δ), given(δ))
    e = (a = abs.(found .- wanted); a[isnan.(a)] .= Inf; a)
    i = argmax(e)
    allowed = tolerance * max(maximum(abs, wanted), 1e-300)
    e[i] <= allowed && return Entry(what, i, i, wanted[i], found[i], e[i], allowed)
    j = responsible(D, rng, part -> abs((given(part) .- expected(part))[i]))
    return at_entry(what, tolerance, i, j, expected(unit(D, j))[i], given(unit(D, j))[i])
end

# The tangent linear has been checked already; the adjoint has to be its exact transpose.
function worst_of_adjoint(what, D, rng, tangent, adjoint)
    D <= DENSE && return compare(what, EXACT, matrix_of(tangent, D), permutedims(matrix_of(adjoint, D)))
    (δ, v) = (randn(rng, D), randn(rng, D))
    gap(δ, v) = abs(dot(δ, adjoint(v)) - dot(tangent(δ), v))
    allowed = EXACT * max(norm(tangent(δ)) * norm(v), norm(δ) * norm(adjoint(v)))
    error = gap(δ, v)
    error <= allowed && return Entry(what, 1, 1, dot(tangent(δ), v), dot(δ, adjoint(v)), error, allowed)
    j = responsible(D, rng, part -> gap(part, v))
    i = responsible(D, rng, part -> gap(unit(D, j), part))
    return at_entry(what, EXACT, i, j, tangent(unit(D, j))[i], adjoint(unit(D, i))[j])
end

at_entry(what, tolerance, i, j, expected, found) =
    Entry(what, i, j, expected, found, abs(found - expected), tolerance * max(abs(expected), abs(found)))

"    responsible(D, rng, error) -> a component for which `error` is large, found by bisection"
function responsible(D, rng, error)
    (low, high) = (1, D)
    weights = randn(rng, D)
    while low < high
        middle = (low + high) ÷ 2
        left = [low <= j <= middle ? weights[j] : 0.0 for j in 1:D]
        right = [middle < j <= high ? weights[j] : 0.0 for j in 1:D]
        error(left) >= error(right) ? (high = middle) : (low = middle + 1)
    end
    return low
end

function compare(what, tolerance, expected, found)
    size(found) == size(expected) || error("$what returns $(size(found, 1)) components, expected $(size(expected, 1))")
    e = abs.(found .- expected)
    e[isnan.(e)] .= Inf
    at = argmax(e)
    return Entry(what, at[1], at[2], expected[at], found[at], e[at], tolerance * max(maximum(abs, expected), 1e-300))
end

"    component_name(m, i) -> \"y\", \"u[3]\" or \"u[y=2, x=5]\", counted from 1, or a parameter's name"
function component_name(m, i)
    inner = m isa AnyWithParameters ? m.m : m
    if i > length(inner)
        W = wrapper(typeof(inner))
        return string([n for (k, n) in enumerate(fieldnames(W)) if is_parameter(W, k)][i-length(inner)])
    end
    for (name, dims) in zip(variables(typeof(inner)), dimensions_of(inner))
        n = points(dims)
        if i > n
            i -= n
            continue
        end
        isempty(dims) && return string(name)
        at = reverse(Tuple(CartesianIndices(reverse(values(dims)))[i]))
        return length(dims) == 1 ? "$name[$(at[1])]" : "$name[$(join(("$k=$a" for (k, a) in zip(keys(dims), at)), ", "))]"
    end
    return "component $i"
end
