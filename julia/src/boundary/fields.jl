# Entry points for fields without a model, which follow the rules of boundary.jl.

# --- methods/optimal_interpolation.jl --------------------------------------------------------------

function c_optimal_interpolation(a)
    guarded(a) do
        (N, G, queries) = (a.data, a.groups, a.queries)
        a.factors > 0 || return "the covariance has no factor, expected at least one"
        starts = array_at(a.first, Int64, G + 1) .+ 1
        of_query = array_at(a.point, Int64, queries)
        groups = array_at(a.group, Int64, queries)
        (issorted(starts) && starts[1] == 1 && starts[end] == N + 1) || return "the groups of data are not from 0 to their number $N in order"
        all(p -> 1 <= p <= a.points, of_query) || return "a query has another point than 1 to $(a.points)"
        all(g -> 0 <= g <= G, groups) || return "a query has another group than 0 to $G"
        numbers = reals(a.covariance, 5, a.factors)
        all(k -> numbers[2, k] in 0:3 && numbers[4, k] in 0:3, 1:a.factors) || return "a factor of the covariance is of no known kind"
        km_in = reals(a.scale, 3)
        data = GroupedData(reals(a.position, 3, N), reals(a.map, 2, N), array_at(a.hidden, Int64, N), starts,
                           (km_in[1], km_in[2]), km_in[3])
        P = InterpolationProblem(data, [Cells(data, g) for g in 1:G], (reals(p, N) for p in (a.time, a.value, a.noise, a.track))...,
                                 reals(a.velocity, 3, a.moving == 0 ? 0 : N),
                                 [Factor{Lanes{8,Float64}}(Tuple(numbers[:, k])) for k in 1:a.factors],
                                 Tuple(reals(a.along, 2)), a.own, a.other, a.days, a.km, reals(a.group_time, G))
        interpolate!(reals(a.out, 4, queries), P, reals(a.point_position, 3, a.points), reals(a.point_map, 2, a.points),
                     of_query, reals(a.query_time, queries), groups,
                     a.derivatives == C_NULL ? zeros(0, 0, 0) : reals(a.derivatives, 2, 1 + 3a.factors, queries))
        return nothing
    end
end
