# Cholesky factors of as many dense matrices as a number has lanes, one in each lane.
#
# Rows are stored in panels of four: panel I holds rows 4I-3 ... 4I up to column 4I, a column's four numbers beside
# each other. A tile of 4 x 4 numbers is then updated from two panels that are read in order.

using Base.Cartesian: @nexprs

"Four rows at a time; a factor takes the place of its matrix. A lane that is not positive definite becomes NaN."
struct LaneFactor{N}
    panels::Vector{N}
    reciprocal::Vector{N}       # 1 / diagonal
end
LaneFactor{N}(size::Integer) where {N} = LaneFactor{N}(zeros(N, panel_start(size ÷ 4 + 1)), zeros(N, size))

"    panel_start(I) -> the numbers before panel I"
@inline panel_start(I) = 8 * I * (I - 1)

"    place(i, j) -> where the number in row i and column j ≤ i is"
@inline place(i, j) = panel_start((i + 3) ÷ 4) + 4 * (j - 1) + (i - 1) % 4 + 1

"    factorise_panels!(F, first, last) -> F; the panels before `first` are factors already"
function factorise_panels!(F::LaneFactor{N}, first, last) where {N}
    for I in first:last
        for J in 1:I-1
            tile!(F, I, J)
        end
        diagonal_tile!(F, I)
    end
    return F
end

"    solve_panel!(F, I, size) -> F; the four rows of panel I become rows · L⁻ᵀ for the factor of the first panels"
function solve_panel!(F::LaneFactor, I, size)
    for J in 1:size
        tile!(F, I, J)
    end
    return F
end

@inline function tile!(F::LaneFactor{N}, I, J) where {N}
    (P, d) = (F.panels, F.reciprocal)
    (i, j) = (panel_start(I), panel_start(J))
    at = i + 16 * (J - 1)
    @inbounds begin
        @nexprs 4 c -> (@nexprs 4 r -> (a_r_c = P[at + 4 * (c - 1) + r]))
        for k in 0:4:16*(J-1)-4
            @nexprs 4 r -> (x_r = -P[i + k + r])
            @nexprs 4 c -> begin
                y = P[j + k + c]
                @nexprs 4 r -> (a_r_c = muladd(x_r, y, a_r_c))
            end
        end
        l = j + 16 * (J - 1)            # L of the diagonal tile: row c, column m at l + 4 (m - 1) + c
        @nexprs 4 r -> begin
            a_r_1 *= d[4 * J - 3]
            a_r_2 = muladd(-a_r_1, P[l + 2], a_r_2) * d[4 * J - 2]
            a_r_3 = muladd(-a_r_2, P[l + 7], muladd(-a_r_1, P[l + 3], a_r_3)) * d[4 * J - 1]
            a_r_4 = muladd(-a_r_3, P[l + 12], muladd(-a_r_2, P[l + 8], muladd(-a_r_1, P[l + 4], a_r_4))) * d[4 * J]
        end
        @nexprs 4 c -> (@nexprs 4 r -> (P[at + 4 * (c - 1) + r] = a_r_c))
    end
    return nothing
end

@inline function diagonal_tile!(F::LaneFactor{N}, I) where {N}
    (P, d) = (F.panels, F.reciprocal)
    i = panel_start(I)
    at = i + 16 * (I - 1)
    @inbounds begin
        @nexprs 4 c -> (@nexprs 4 r -> (a_r_c = P[at + 4 * (c - 1) + r]))
        for k in 0:4:16*(I-1)-4
            @nexprs 4 r -> (x_r = P[i + k + r])
            @nexprs 4 c -> (@nexprs 4 r -> (r >= c && (a_r_c = muladd(-x_r, x_c, a_r_c))))
        end
        d_1 = one(N) / sqrt(a_1_1)
        @nexprs 4 r -> (r > 1 && (a_r_1 *= d_1))
        a_1_1 *= d_1
        a_2_2 = muladd(-a_2_1, a_2_1, a_2_2)
        a_3_2 = muladd(-a_3_1, a_2_1, a_3_2)
        a_4_2 = muladd(-a_4_1, a_2_1, a_4_2)
        d_2 = one(N) / sqrt(a_2_2)
        (a_2_2, a_3_2, a_4_2) = (a_2_2 * d_2, a_3_2 * d_2, a_4_2 * d_2)
        a_3_3 = muladd(-a_3_2, a_3_2, muladd(-a_3_1, a_3_1, a_3_3))
        a_4_3 = muladd(-a_4_2, a_3_2, muladd(-a_4_1, a_3_1, a_4_3))
        d_3 = one(N) / sqrt(a_3_3)
        (a_3_3, a_4_3) = (a_3_3 * d_3, a_4_3 * d_3)
        a_4_4 = muladd(-a_4_3, a_4_3, muladd(-a_4_2, a_4_2, muladd(-a_4_1, a_4_1, a_4_4)))
        d_4 = one(N) / sqrt(a_4_4)
        a_4_4 *= d_4
        @nexprs 4 c -> (@nexprs 4 r -> (P[at + 4 * (c - 1) + r] = a_r_c))
        @nexprs 4 c -> (d[4 * (I - 1) + c] = d_c)
    end
    return nothing
end
