# The best members of the library, as starts of a minimisation.

const HOPELESS = 100.0f0        # members whose J exceeds the least by more are not tried as starts

"""
    best_starts!(starts, y, precision, library, apart)

Fill `(state, start, window)` with the states, `library.lead` steps before the window, of the members
with the smallest J that differ from each other by at least `apart` in some component. If there are
fewer, the best one is repeated; if there is none (see `misfits!`), the library's first member is used.
"""
function best_starts!(starts, y, precision, l::Library, apart)
    T, windows = size(y, 2), size(y, 3)
    threads = threads_for(windows)
    in_threads(threads) do k
        J = zeros(Float32, members(l, T) * (1 + l.mirrored))
        near = Int[]
        for w in k:threads:windows
            best_of_window!(starts, J, near, y, precision, l, apart, w)
        end
    end
    return starts
end

function best_of_window!(starts, J, near, y, precision, l, apart, window)
    T = size(y, 2)
    margin = size(starts, 2) == 1 ? 0.0f0 : HOPELESS    # only the best for one start, all with a chance for several
    least = misfits!(J, l, Data(y, precision, window), T, margin)
    shortlist!(near, J, least + margin)
    for k in axes(starts, 2)
        j = least_in(near, J)
        k == 1 && j == 0 && (j = 1)
        @inbounds for i in axes(starts, 1)
            starts[i, k, window] = j == 0 ? starts[i, 1, window] : before(l, place(l, j, T), i)
        end
        0 < j && k < size(starts, 2) && filter!(j -> !is_near(l, j, starts, k, window, apart, T), near)
    end
    return nothing
end

"Component i of a member, `lead` steps before the window; see `place`."
@inline before(l, (q, from, mirrored), i) = (mirrored ? l.signs[i] : 1.0) * l.states[i, from-l.lead, q]

"The members considered as starts."
function shortlist!(near, J, largest)
    empty!(near)
    each_below(J, largest) do j
        @inbounds J[j] <= largest && push!(near, j)
    end
    return near
end

"The member with the smallest J in the list, or 0 if it is empty."
function least_in(near, J)
    found = 0
    least = Inf32
    @inbounds for j in near
        J[j] < least && ((found, least) = (j, J[j]))
    end
    return found
end

function is_near(l, j, starts, k, window, apart, T)
    near = true
    member = place(l, j, T)
    @inbounds for i in axes(starts, 1)
        near &= abs(before(l, member, i) - starts[i, k, window]) < apart[i]
    end
    return near
end
