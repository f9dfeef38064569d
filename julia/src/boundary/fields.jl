# Entry points for fields without a model, which follow the rules of boundary.jl.

# --- methods/optimal_interpolation.jl --------------------------------------------------------------

function c_optimal_interpolation(N, G, points, queries, factors, position, map, hidden, first, time, value, noise, track,
                                 group_time, covariance, along, scale, own, other, days, km, point_position, point_map,
                                 point, query_time, group, out, message, capacity)
    refused = refusal(; data = N, groups = G, points = points, queries = queries, factors = factors, own = own, other = other)
    refused === nothing && factors == 0 && (refused = "the covariance has no factor, expected at least one")
    guarded(message, capacity, refused) do
        starts = array_at(first, Int64, G + 1) .+ 1
        of_query = array_at(point, Int64, queries)
        groups = array_at(group, Int64, queries)
        (issorted(starts) && starts[1] == 1 && starts[end] == N + 1) || return "the groups of data are not from 0 to their number $N in order"
        all(p -> 1 <= p <= points, of_query) || return "a query has another point than 1 to $points"
        all(g -> 0 <= g <= G, groups) || return "a query has another group than 0 to $G"
        numbers = array_at(covariance, Float64, 5, factors)
        all(k -> numbers[2, k] in 0:3 && numbers[4, k] in 0:3, 1:factors) || return "a factor of the covariance is of no known kind"
        km_in = array_at(scale, Float64, 3)
        data = GroupedData(array_at(position, Float64, 3, N), array_at(map, Float64, 2, N), array_at(hidden, Int64, N), starts,
                           (km_in[1], km_in[2]), km_in[3])
        P = InterpolationProblem(data, [Cells(data, g) for g in 1:G],
                                 (array_at(a, Float64, N) for a in (time, value, noise, track))...,
                                 [Factor{Lanes{8,Float64}}(Tuple(numbers[:, k])) for k in 1:factors],
                                 Tuple(array_at(along, Float64, 2)), own, other, days, km, array_at(group_time, Float64, G))
        interpolate!(array_at(out, Float64, 4, queries), P, array_at(point_position, Float64, 3, points),
                     array_at(point_map, Float64, 2, points), of_query, array_at(query_time, Float64, queries), groups)
    end
end
