# Entry points for learned priors and solvers, which follow the rules of boundary/boundary.jl. `weights` and
# `totals` are lists of addresses, `sizes` has three numbers per scale or five per layer; `totals` may be null.

each_array(f, p, n) = [f(k, unsafe_load(Ptr{Ptr{Cvoid}}(p), k)) for k in 1:n]
number_in(sizes, per, k, i) = unsafe_load(sizes, per * (k - 1) + i)

"The arrays W, M, O (S, l) of every scale; `sizes` has features, latent (0 for a quadratic head) and factor."
function genn_arrays(::Type{T}, grid, scales, sizes, p) where {T}
    arrays = each_array(p, 3scales) do k, at
        (F, L, f) = (number_in(sizes, 3, cld(k, 3), i) for i in 1:3)
        (which, N) = (mod1(k, 3), grid.channels * f)
        which == 1 ? array_at(at, T, grid.channels * grid.taps * grid.across, F) :
        which == 2 ? array_at(at, T, F, L == 0 ? F * N : 2L + N) : array_at(at, T, L == 0 ? F : L, N)
    end
    return [(arrays[3k-2], arrays[3k-1], arrays[3k]) for k in 1:scales]
end
genn_scales(memory, grid, sizes, arrays) =
    [Scale(memory, grid, Int(number_in(sizes, 3, k, 3)), number_in(sizes, 3, k, 2) == 0, a...)
     for (k, a) in enumerate(arrays)]

"`grid` has channels, taps, points, taps across, and 1 if the second axis is a circle."
grid_at(p) = Grid((Int(unsafe_load(p, k)) for k in 1:4)..., unsafe_load(p, 5) == 1)

c_genn(a) = guarded(() -> genn(type_of(a.bytes), a), a)
function genn(::Type{T}, a) where {T}
    (memory, grid) = (Memory{T}(), grid_at(a.grid))
    own = genn_scales(memory, grid, a.sizes, genn_arrays(T, grid, a.scales, a.sizes, a.weights))
    at(p) = array_at(p, T, state_size(grid), a.steps, a.windows)
    GC.@preserve memory residual_gradient!(at(a.g), at(a.v), at(a.x), own)
    return nothing
end

c_genn_back(a) = guarded(() -> genn_back(type_of(a.bytes), a), a)
function genn_back(::Type{T}, a) where {T}
    (memory, grid) = (Memory{T}(), grid_at(a.grid))
    own = genn_scales(memory, grid, a.sizes, genn_arrays(T, grid, a.scales, a.sizes, a.weights))
    at(p) = array_at(p, T, state_size(grid), a.steps, a.windows)
    sums = a.totals == C_NULL ? nothing : genn_arrays(T, grid, a.scales, a.sizes, a.totals)
    GC.@preserve memory residual_gradient_back!(at(a.x_bar), sums, at(a.x), at(a.v), at(a.g_bar), own)
    return nothing
end

"The weights of every layer; `sizes` has inputs, outputs, taps across strips and along them, and 1 if a ReLU follows."
layer_arrays(::Type{T}, layers, sizes, p) where {T} = each_array(p, layers) do k, at
    array_at(at, T, number_in(sizes, 5, k, 3) * number_in(sizes, 5, k, 4), number_in(sizes, 5, k, 1), number_in(sizes, 5, k, 2))
end
chain_layers(memory, sizes, arrays) =
    [Layer(memory, number_in(sizes, 5, k, 5) == 1, w, (Int(number_in(sizes, 5, k, 3)), Int(number_in(sizes, 5, k, 4))))
     for (k, w) in enumerate(arrays)]
"`field` has the number of strips, of positions along a strip, and 1 if a strip is a circle."
field_at(p) = Field(Int(unsafe_load(p, 1)), Int(unsafe_load(p, 2)), unsafe_load(p, 3) == 1)

c_convolutions(a) = guarded(() -> chain(type_of(a.bytes), a), a)
function chain(::Type{T}, a) where {T}
    (memory, field) = (Memory{T}(), field_at(a.field))
    own = chain_layers(memory, a.sizes, layer_arrays(T, a.layers, a.sizes, a.weights))
    at(p, channels) = array_at(p, T, channels, positions(field), a.windows)
    GC.@preserve memory convolutions!(at(a.y, last(own).outputs), at(a.x, first(own).inputs), own, field)
    return nothing
end

c_convolutions_back(a) = guarded(() -> chain_back(type_of(a.bytes), a), a)
function chain_back(::Type{T}, a) where {T}
    (memory, field) = (Memory{T}(), field_at(a.field))
    own = chain_layers(memory, a.sizes, layer_arrays(T, a.layers, a.sizes, a.weights))
    sums = a.totals == C_NULL ? nothing : layer_arrays(T, a.layers, a.sizes, a.totals)
    at(p, channels) = array_at(p, T, channels, positions(field), a.windows)
    (inputs, outputs) = (first(own).inputs, last(own).outputs)
    GC.@preserve memory convolutions_back!(at(a.x_bar, inputs), sums, at(a.x, inputs), at(a.y_bar, outputs), own, field)
    return nothing
end
