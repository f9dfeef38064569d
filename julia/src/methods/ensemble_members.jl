# Members of an ensemble at one time, as their mean and anomalies, and their forecast.
#
# In memory a member is a row, padded with zero anomalies to a multiple of eight: the forecast has
# eight members in lanes, and BLAS has the same memory as a matrix.

const MemberLanes = Lanes{8,Float64}

"Members at one time."
struct Members
    lanes::Matrix{MemberLanes}          # (group, state): anomalies
    A::Matrix{Float64}                  # (member, state): the same memory
    x̄::Vector{Float64}
end
function Members(groups, D)
    lanes = zeros(MemberLanes, groups, D)
    return Members(lanes, as_scalars(lanes, (8groups, D)), zeros(D))
end
as_scalars(lanes, dims) = unsafe_wrap(Array, Ptr{Float64}(pointer(lanes)), dims)

forecast_workspace(::SmallModel) = nothing
forecast_workspace(m::LargeModel) =
    (step_workspace(MemberLanes, m), zeros(MemberLanes, length(m)))
forecast_workspace(m::VectorModel) = (step_workspace(Float64, m), zeros(length(m)))

function inflate!(members::Members, factor)
    @inbounds @simd for n in eachindex(members.A)
        members.A[n] *= factor
    end
    return nothing
end

"Members to their mean and anomalies; false when a member is not finite."
function centre!(ws, members::Members)
    N = ws.members
    A = members.A
    finite = true
    @inbounds for i in axes(A, 2)
        s = 0.0
        @simd for j in 1:N
            s += A[j, i]
        end
        s /= N
        @simd for j in 1:N
            A[j, i] -= s
        end
        for j in N+1:size(A, 1)
            A[j, i] = 0.0
        end
        members.x̄[i] = s
        finite &= isfinite(s)
    end
    return finite
end

"Add the noise of one step."
disturb!(members::Members, ::Nothing, step) = nothing
function disturb!(members::Members, noise, step)
    @inbounds for i in axes(noise, 2)
        @simd for j in axes(noise, 1)
            members.A[j, i] += noise[j, i, step]
        end
    end
    return nothing
end

"One step of mean and anomalies to members."
@inline function forecast!(members, ws, ::Nothing, scheme, h)
    D = size_of(ws.m)
    lanes = members.lanes
    x̄ = tuple_of(members.x̄, D)
    for g in axes(lanes, 1)
        x = ntuple(i -> (@inbounds lanes[g, i] + x̄[i]), D)
        x̂, _ = step(scheme, ws.m, x, h)
        ntuple(i -> (@inbounds lanes[g, i] = x̂[i]; nothing), D)
    end
    return nothing
end
@inline function forecast!(members, ws, (step_ws, x)::Tuple, scheme, h)
    (states, those) = together(members, ws, step_ws)
    for j in those
        @inbounds for i in eachindex(x)
            x[i] = states[j, i] + members.x̄[i]
        end
        x̂ = step!(step_ws, scheme, ws.m, x, h)
        @inbounds for i in eachindex(x)
            states[j, i] = x̂[i]
        end
    end
    return nothing
end
"    together(members, ws, step_ws) -> members that a step takes together, as rows, and the rows: one of a VectorModel"
@inline together(members, ws, ::VectorStepWorkspace) = (members.A, 1:ws.members)
@inline together(members, ws, step_ws) = (members.lanes, axes(members.lanes, 1))

"    add_weighted!(x, A, w) -> x + A w in place of x"
function add_weighted!(x, A, w)
    @inbounds for i in eachindex(x)
        s = 0.0
        @simd for j in axes(A, 1)
            s += A[j, i] * w[j]
        end
        x[i] += s
    end
    return x
end

"    function_of_members!(out, values!, members, N) -> h of each of the N members, `(channel, member)`"
function function_of_members!(out, values!::F, members, N) where {F}
    (x, y) = (zeros(length(members.x̄)), zeros(size(out, 1)))
    for j in 1:N
        @inbounds for i in eachindex(x)
            x[i] = members.A[j, i] + members.x̄[i]
        end
        refused = values!(y, x)
        refused === nothing || error(refused)
        out[:, j] .= y
    end
    return out
end
