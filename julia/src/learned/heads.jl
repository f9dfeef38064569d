# What follows the features r of a GENN's scale, multiplied out (pyvda/priors/heads.py):
#
#     bilinear     (p, q, l) = r M,          y = (p q) O + l
#     quadratic    z_n = r S_n + l_n,        y_n = ½ r·(z_n + l_n),   S_n symmetric
#
# The second form computes its own gradient, z_n = ∂y_n/∂r, and is smaller when there are few outputs. m is
# (p, q, l) or the z_n of all outputs n. Rows are positions.

is_quadratic(s::Scale) = s.latent == 0
mixed(s::Scale) = is_quadratic(s) ? s.features * outputs(s) : 2s.latent + outputs(s)
rows_of_last(s::Scale) = is_quadratic(s) ? s.features : s.latent
"Columns of the panels: the last z_n, padded to whole lanes, still lies in its row."
panel_columns(::Type{T}, s::Scale) where {T} = is_quadratic(s) ?
    whole_lanes(T, s.features * (outputs(s) - 1) + whole_lanes(T, s.features)) :
    whole_lanes(T, max(s.features, mixed(s)))

"Compute m of r."
function mix!(m::Panel{T}, r, s, n) where {T}
    product!(m, r, s.mix, n, mixed(s), s.features, STORE)
    is_quadratic(s) || return
    N = lanes_for(T)
    for i in 0:n-1, g in 0:sizeof(N):mixed(s)*sizeof(T)-1
        in_lanes!(row(m, i) + g, in_lanes(N, row(m, i) + g) + in_lanes(N, s.product.at + g))
    end
end
"Compute the derivative of m; that of z is not needed."
mix_tangent!(m_dot, r_dot, s, n) =
    is_quadratic(s) || product!(m_dot, r_dot, s.mix, n, mixed(s), s.features, STORE)

"Compute y of r and m, and p q."
function value!(room::ScaleRoom{T}, s, a, n) where {T}
    if !is_quadratic(s)
        multiply!(room, s, a, n)
        product!(room.y, entries(room, room.pq), s.product, n, outputs(s), s.latent, STORE)
        add_linear!(room.y, after(room, room.m, a), s, n)
        return
    end
    (r, z) = (after(room, room.r, a), after(room, room.m, a))
    for i in 0:n-1, k in 0:outputs(s)-1
        block = k * s.features * sizeof(T)
        unsafe_store!(row(room.y, i), row_sum(row(r, i), row(z, i) + block, s.product.at + block, s) / 2, k + 1)
    end
end

"Compute the derivative of y from those of r, m and p q, in the panel of y."
function tangent!(room::ScaleRoom{T}, s, a, n) where {T}
    if !is_quadratic(s)
        product!(room.y, entries(room, room.pq_dot), s.product, n, outputs(s), s.latent, STORE)
        add_linear!(room.y, after(room, room.m_dot, a), s, n)
        return
    end
    (r_dot, z) = (after(room, room.r_dot, a), after(room, room.m, a))
    for i in 0:n-1, k in 0:outputs(s)-1
        block = k * s.features * sizeof(T)
        unsafe_store!(row(room.y, i), row_sum(row(r_dot, i), row(z, i) + block, Ptr{T}(0), s), k + 1)
    end
end

"Return a·(b + c), or a·b if c is null. Past the features a is zero."
@inline function row_sum(a::Ptr{T}, b, c, s) where {T}
    N = lanes_for(T)
    sum = zero(N)
    for g in 0:sizeof(N):s.features*sizeof(T)-1
        factor = in_lanes(N, b + g)
        c == Ptr{T}(0) || (factor += in_lanes(N, c + g))
        sum = muladd(in_lanes(N, a + g), factor, sum)
    end
    total = zero(T)
    for k in 1:lanes(N)
        total += lane(sum, k)
    end
    return total
end

"Compute p q of a bilinear head."
function multiply!(room::ScaleRoom{T}, s, a, n) where {T}
    (N, L, m) = (lanes_for(T), s.latent * sizeof(T), after(room, room.m, a))
    for i in 0:n-1, g in 0:sizeof(N):L-1
        p = row(m, i) + g
        in_lanes!(row(room.pq, i) + g, in_lanes(N, p) * in_lanes(N, p + L))
    end
end

function multiply_tangent!(room::ScaleRoom{T}, s, a, n) where {T}
    (N, L) = (lanes_for(T), s.latent * sizeof(T))
    (m, m_dot) = (after(room, room.m, a), after(room, room.m_dot, a))
    for i in 0:n-1, g in 0:sizeof(N):L-1
        (p, p_dot) = (row(m, i) + g, row(m_dot, i) + g)
        both = muladd(in_lanes(N, p_dot), in_lanes(N, p + L), in_lanes(N, p) * in_lanes(N, p_dot + L))
        in_lanes!(row(room.pq_dot, i) + g, both)
    end
end

"Add l, the end of m, to y."
function add_linear!(y, m::Panel{T}, s, n) where {T}
    for i in 0:n-1, k in 1:outputs(s)
        unsafe_store!(row(y, i), unsafe_load(row(y, i), k) + unsafe_load(row(m, i), 2s.latent + k), k)
    end
end

"Compute the cotangent of u W from that of m."
first_back!(to, room, s, mixed_cotangent, a, n) =
    product!(to, entries(room, mixed_cotangent), s.mix_back, n, s.features, mixed(s), MASK, after(room, room.r, a))

"Compute a_back from v, and leave (s q, s p, v) in m_back."
function reverse!(room::ScaleRoom{T}, s, a, n) where {T}
    if is_quadratic(s)
        clear!(room.a_back, n)
        add_gradient!(room.a_back, room, s, room.v, a, n)
        return
    end
    product!(room.s, entries(room, room.v), s.product_back, n, s.latent, outputs(s), STORE)
    (N, L) = (lanes_for(T), s.latent * sizeof(T))
    for i in 0:n-1
        (v, m, to) = (row(room.s, i), row(after(room, room.m, a), i), row(room.m_back, i))
        for g in 0:sizeof(N):L-1
            in_lanes!(to + g, in_lanes(N, v + g) * in_lanes(N, m + L + g))
        end
        for g in 0:sizeof(N):L-1
            in_lanes!(to + L + g, in_lanes(N, v + g) * in_lanes(N, m + g))
        end
        copy_outputs!(to + 2L, row(room.v, i), s)
    end
    first_back!(room.a_back, room, s, room.m_back, a, n)
end

"Add Σ v_n z_n where r is positive."
function add_gradient!(to, room::ScaleRoom{T}, s, v, a, n) where {T}
    (N, r, z) = (lanes_for(T), after(room, room.r, a), after(room, room.m, a))
    for i in 0:n-1, g in 0:sizeof(N):s.features*sizeof(T)-1
        sum = in_lanes(N, row(to, i) + g)
        positive = in_lanes(N, row(r, i) + g)
        for k in 0:outputs(s)-1
            z_k = in_lanes(N, row(z, i) + k * s.features * sizeof(T) + g)
            sum += where_positive(positive, N(unsafe_load(row(v, i), k + 1)) * z_k)
        end
        in_lanes!(row(to, i) + g, sum)
    end
end

"Compute a_bar, the gradient of v_bar·y + v·y_dot with respect to u W, and leave that with respect to m in m_bar."
function second!(room::ScaleRoom{T}, s, a, n) where {T}
    is_quadratic(s) && return second_quadratic!(room, s, a, n)
    product!(room.s_bar, entries(room, room.v_bar), s.product_back, n, s.latent, outputs(s), STORE)
    (N, L) = (lanes_for(T), s.latent * sizeof(T))
    for i in 0:n-1
        (m, m_dot) = (row(after(room, room.m, a), i), row(after(room, room.m_dot, a), i))
        (v, v_bar, to) = (row(room.s, i), row(room.s_bar, i), row(room.m_bar, i))
        for g in 0:sizeof(N):L-1
            of_value = in_lanes(N, v_bar + g) * in_lanes(N, m + L + g)
            in_lanes!(to + g, muladd(in_lanes(N, v + g), in_lanes(N, m_dot + L + g), of_value))
        end
        for g in 0:sizeof(N):L-1
            of_value = in_lanes(N, v_bar + g) * in_lanes(N, m + g)
            in_lanes!(to + L + g, muladd(in_lanes(N, v + g), in_lanes(N, m_dot + g), of_value))
        end
        copy_outputs!(to + 2L, row(room.v_bar, i), s)
    end
    first_back!(room.a_bar, room, s, room.m_bar, a, n)
end

"As `second!`; leaves the gradient with respect to z, v_n r_dot, in m_bar and that plus ½ v_bar_n r in m_back."
function second_quadratic!(room::ScaleRoom{T}, s, a, n) where {T}
    (N, half) = (lanes_for(T), T(0.5))
    for i in 0:n-1
        (r, r_dot) = (row(after(room, room.r, a), i), row(after(room, room.r_dot, a), i))
        for k in 0:outputs(s)-1
            (v, v_bar) = (N(unsafe_load(row(room.v, i), k + 1)), N(half * unsafe_load(row(room.v_bar, i), k + 1)))
            block = k * s.features * sizeof(T)
            for g in 0:sizeof(N):s.features*sizeof(T)-1
                z_bar = v * in_lanes(N, r_dot + g)
                in_lanes!(row(room.m_bar, i) + block + g, z_bar)
                in_lanes!(row(room.m_back, i) + block + g, muladd(v_bar, in_lanes(N, r + g), z_bar))
            end
        end
    end
    first_back!(room.a_bar, room, s, room.m_bar, a, n)
    add_gradient!(room.a_bar, room, s, room.v_bar, a, n)
end

@inline function copy_outputs!(to, from, s)
    for k in 1:outputs(s)
        unsafe_store!(to, unsafe_load(from, k), k)
    end
end

"Add to the sums of the gradients of M and O, or S and l."
function add_head!(room, s, a, n)
    (r, r_dot) = (transpose(entries(room, after(room, panel, a))) for panel in (room.r, room.r_dot))
    (F, L, N) = (s.features, s.latent, outputs(s))
    if is_quadratic(s)
        product!(room.mix, r, room.m_back, F, mixed(s), n, ADD)
        product!(room.product, r, room.v_bar, F, N, n, ADD)
        product!(room.product, r_dot, room.v, F, N, n, ADD)
    else
        product!(room.mix, r, room.m_bar, F, mixed(s), n, ADD)
        product!(room.mix, r_dot, room.m_back, F, mixed(s), n, ADD)
        product!(room.product, transpose(entries(room, room.pq)), room.v_bar, L, N, n, ADD)
        product!(room.product, transpose(entries(room, room.pq_dot)), room.v, L, N, n, ADD)
    end
end
