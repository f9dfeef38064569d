# A library of states of a low-dimensional model, and how well the trajectories that follow them fit a window:
#
#     Jⱼ = ½ Σ (y - hⱼ)² / R over the window's data.
#
# The library is a few long trajectories of which every 4th state starts a member. If a model is invariant under
# a change of signs, each member counts twice, as it is and mirrored.
#
# The sweep over all members is in single precision, which says which of them count. Sixteen consecutive members,
# which resemble each other, are compared with the data at a time, in the order of time, until all of them fit so
# much worse than the best one that they cannot count: for most a few data are enough. For this sweep the states
# are stored phase by phase (states 0, 4, 8, ..., then 1, 5, 9, ...), so that the values of consecutive members
# at one step of the window are contiguous.

const EVERY = 4
const TOGETHER = 16             # consecutive members that are compared with the data at a time
const BETWEEN = 4               # data from one look at their J to the next
const Block = Lanes{TOGETHER,Float32}

"""
    Library(states, lead, signs)

- `states`: `(state, time, trajectory)`, of equal spacing in time
- `lead`: the first member of a trajectory starts at the step `lead + 1`
- `signs`: `(state)`, the mirror symmetry; all 1 without one
"""
struct Library
    states::Array{Float64,3}
    phases::Array{Float32,4}            # (position, phase, state, trajectory); the last fifteen positions are no state's
    lead::Int
    signs::Vector{Float64}
    mirrored::Bool
end
function Library(states, lead, signs)
    D, T, trajectories = size(states)
    phases = zeros(Float32, cld(T, EVERY) + TOGETHER - 1, EVERY, D, trajectories)
    @inbounds for q in 1:trajectories, i in 1:D, phase in 1:min(EVERY, T), k in 1:(T-phase)÷EVERY+1
        phases[k, phase, i, q] = states[i, EVERY*(k-1)+phase, q]
    end
    return Library(states, phases, lead, collect(signs), any(<(0), signs))
end

library_at(states, D, length_, trajectories, lead, signs) =
    Library(array_at(states, Float64, D, length_, trajectories), Int(lead), array_at(signs, Float64, D))

"Members of one trajectory, for windows of T steps."
members_each(l::Library, T) = (size(l.states, 2) - l.lead - T) ÷ EVERY + 1
"Number of all members, without the mirrored ones."
members(l::Library, T) = members_each(l, T) * size(l.states, 3)

"    place(l, j, T) -> trajectory and step (from 1) at which member j starts, and whether it is mirrored"
@inline function place(l::Library, j, T)
    n = members_each(l, T)
    all = n * size(l.states, 3)
    mirrored = j > all
    k = mirrored ? j - all : j
    return (k - 1) ÷ n + 1, l.lead + EVERY * ((k - 1) % n) + 1, mirrored
end

"The data of a window: steps, components, values, precisions."
struct Data
    t::Vector{Int}
    i::Vector{Int}
    y::Vector{Float64}
    π::Vector{Float64}
end
function Data(y, precision, window)
    data = Data(Int[], Int[], Float64[], Float64[])
    @inbounds for t in axes(y, 2), i in axes(y, 1)
        precision[i, t, window] > 0 || continue
        push!(data.t, t)
        push!(data.i, i)
        push!(data.y, y[i, t, window])
        push!(data.π, precision[i, t, window])
    end
    return data
end

# --- the sweep ------------------------------------------------------------------------------------

"A datum as the sweep needs it."
struct Compared
    bytes::Int                  # from a trajectory's first phase to the value of its first member
    y::Float32
    y_mirrored::Float32
    half_precision::Float32
end
function compared(l::Library, data::Data)
    positions = LinearIndices(axes(l.phases)[1:3])
    return map(data.t, data.i, data.y, data.π) do t, i, y, π
        s = l.lead + t - 1
        at = positions[s÷EVERY+1, s%EVERY+1, i]
        Compared(sizeof(Float32) * (at - 1), y, Float32(l.signs[i]) * Float32(y), π / 2)
    end
end

"""
    misfits!(J, l, data, T, margin) -> the least J

Fill J with Jⱼ of all members, followed by those of all mirrored ones. Where Jⱼ exceeds the least by more than
`margin`, J does so, too, but may lack some of the data. The least is `Inf` if J of every member overflows Float32:
then no member can be chosen, and the window has no analysis.
"""
function misfits!(J::Vector{Float32}, l::Library, data::Data, T, margin = Inf32)
    n = members_each(l, T)
    all_data = compared(l, data)
    least = Inf32
    GC.@preserve J l for q in axes(l.phases, 4)
        trajectory = pointer(l.phases, LinearIndices(l.phases)[1, 1, 1, q])
        plain = (q - 1) * n
        mirrored = plain + n * size(l.phases, 4)
        for first in 0:TOGETHER:n-1
            at = trajectory + sizeof(Float32) * first
            bound = Block(least + Float32(margin))
            count = min(TOGETHER, n - first)
            if l.mirrored
                (found, found′) = both_misfits(at, all_data, bound)
                least = put!(J, plain + first, found, count, bound, least)
                least = put!(J, mirrored + first, found′, count, bound, least)
            else
                least = put!(J, plain + first, block_misfits(at, all_data, bound), count, bound, least)
            end
        end
    end
    return least
end

"    block_misfits(at, all_data, bound) -> J of consecutive members, of all data or until all J exceed the bound"
@inline function block_misfits(at::Ptr{Float32}, all_data, bound)
    J = zero(Block)
    k = 0
    while k < length(all_data)
        for _ in 1:min(BETWEEN, length(all_data) - k)
            @inbounds d = all_data[k+=1]
            δ = Block(d.y) - unsafe_load(Ptr{Block}(at + d.bytes))
            J = muladd(Block(d.half_precision) * δ, δ, J)
        end
        all_above(J, bound) && break
    end
    return J
end

"    both_misfits(at, all_data, bound) -> the same of the members as they are, and mirrored"
@inline function both_misfits(at::Ptr{Float32}, all_data, bound)
    J = J′ = zero(Block)
    k = 0
    while k < length(all_data)
        for _ in 1:min(BETWEEN, length(all_data) - k)
            @inbounds d = all_data[k+=1]
            x = unsafe_load(Ptr{Block}(at + d.bytes))
            (δ, δ′) = (Block(d.y) - x, Block(d.y_mirrored) - x)
            J = muladd(Block(d.half_precision) * δ, δ, J)
            J′ = muladd(Block(d.half_precision) * δ′, δ′, J′)
        end
        all_above(J, bound) && all_above(J′, bound) && break
    end
    return J, J′
end

"    put!(J, at, found, count, bound, least) -> the least J so far, after the first `count` lanes"
@inline function put!(J, at, found::Block, count, bound, least)
    if count == TOGETHER
        unsafe_store!(Ptr{Block}(pointer(J, at + 1)), found)
    else
        for k in 1:count
            @inbounds J[at+k] = lane(found, k)
        end
    end
    all_above(found, bound) && return least
    for k in at+1:at+count
        @inbounds least = ifelse(J[k] < least, J[k], least)
    end
    return least
end

"    each_below(f, J, bound): call f(j) for every J up to the bound, and for some others"
@inline function each_below(f, J, bound)
    limit = Block(bound)
    last = length(J) - length(J) % TOGETHER
    GC.@preserve J for j in 1:TOGETHER:last
        all_above(unsafe_load(Ptr{Block}(pointer(J, j))), limit) || foreach(f, j:j+TOGETHER-1)
    end
    foreach(f, last+1:length(J))
    return nothing
end

"    misfit_of_member(l, j, data, T) -> J of one member, in double precision"
function misfit_of_member(l::Library, j, data::Data, T)
    q, from, mirrored = place(l, j, T)
    J = 0.0
    @inbounds for k in eachindex(data.t)
        i = data.i[k]
        x = l.states[i, from+data.t[k]-1, q]
        d = data.y[k] - (mirrored ? l.signs[i] * x : x)
        J = muladd(data.π[k] / 2 * d, d, J)
    end
    return J
end
