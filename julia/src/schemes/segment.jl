# A model over several steps with the columns of its tangent linear, as used by multiple shooting,
# Gauss-Newton and the propagation of covariances.
#
# For small models the state and its D columns are tuples, whose numbers may be lanes of several
# windows. For large models there is one window, with its columns in lanes: component i of eight
# columns is one number. In memory the columns are then the transposed Jacobian, `(column, component)`,
# padded with zero columns to a multiple of eight, which BLAS can use directly.

# --- tuples -------------------------------------------------------------------------------------

"    unit_columns(N, Val(D)) -> the D columns of the identity"
@inline unit_columns(::Type{N}, ::Val{D}) where {N,D} =
    ntuple(j -> ntuple(i -> i == j ? N(1) : N(0), Val(D)), Val(D))

"    advance(scheme, m, x, columns, h) -> Φ(x), 𝚽(x) columns"
@inline function advance(scheme, m::SmallModel, x::Tuple, columns::Tuple, h)
    x̂, stages = step(scheme, m, x, h)
    return x̂, step_tangents(scheme, m, stages, columns, h)
end
@inline step_tangents(scheme, m, stages, columns::Tuple, h) =
    (step_tangent(scheme, m, stages, columns[1], h),
     step_tangents(scheme, m, stages, Base.tail(columns), h)...)
@inline step_tangents(scheme, m, stages, ::Tuple{}, h) = ()

"    segment(scheme, m, x, h, k) -> Φᵏ(x)"
@inline function segment(scheme, m::SmallModel, x::Tuple, h, k)
    for _ in 1:k
        x, _ = step(scheme, m, x, h)
    end
    return x
end

"    segment(scheme, m, x, columns, h, k) -> Φᵏ(x), and its tangent linear at x applied to the columns"
@inline function segment(scheme, m::SmallModel, x::Tuple, columns::Tuple, h, k)
    for _ in 1:k
        x, columns = advance(scheme, m, x, columns, h)
    end
    return x, columns
end

# --- one window, columns in lanes ---------------------------------------------------------------

const ColumnLanes = Lanes{8,Float64}

"One group of columns: a row of a matrix `(group, component)`, used like a vector."
struct ColumnGroup
    a::Matrix{ColumnLanes}
    g::Int
end
@inline Base.getindex(v::ColumnGroup, i::Int) = @inbounds v.a[v.g, i]
@inline Base.setindex!(v::ColumnGroup, δ, i::Int) = @inbounds v.a[v.g, i] = δ

"The stages of a step, and a workspace for the tangent linear of one group of columns."
struct TangentStages
    x₂::Vector{Float64}
    x₃::Vector{Float64}
    x₄::Vector{Float64}
    v₂::Vector{ColumnLanes}
    v₃::Vector{ColumnLanes}
    v₄::Vector{ColumnLanes}
end

"""
    SegmentWorkspace(m)

State and tangent columns of one window of a large model.

- `x`: `(state)`, the state
- `transposed`: `(column, component)`, the transposed Jacobian, with `padded(m)` columns and rows
"""
struct SegmentWorkspace{S,V}
    x::Vector{Float64}
    transposed::Matrix{Float64}
    columns::Matrix{ColumnLanes}        # the memory of `transposed`
    next::Vector{ColumnLanes}
    row::Vector{Float64}                # (state)
    step::S
    stages::V                           # `nothing` for a VectorModel
end
function SegmentWorkspace(m::ArrayModel)
    D, P = length(m), padded(m)
    columns = zeros(ColumnLanes, P ÷ 8, P)
    transposed = unsafe_wrap(Array, Ptr{Float64}(pointer(columns)), (P, P))
    step = step_workspace(Float64, m)
    stages = tangent_stages(m, step)
    return SegmentWorkspace(zeros(D), transposed, columns, zeros(ColumnLanes, D), zeros(D), step, stages)
end

tangent_stages(m::LargeModel, step) =
    TangentStages(step.x₂, step.x₃, step.x₄, ntuple(_ -> zeros(ColumnLanes, length(m)), Val(3))...)
tangent_stages(m::VectorModel, step) = nothing

"    padded(m) -> the size of the state, rounded up to a multiple of eight"
padded(m::ArrayModel) = 8 * cld(length(m), 8)

"    start!(ws, x) -> ws with the state x and the columns of the identity"
function start!(ws::SegmentWorkspace, x)
    fill!(ws.transposed, 0.0)
    @inbounds for i in eachindex(ws.x)
        ws.x[i] = x[i]
        ws.transposed[i, i] = 1.0
    end
    return ws
end

"    advance!(ws, scheme, m, h) -> ws with x replaced by Φ(x) and the columns by 𝚽(x) columns"
function advance!(ws::SegmentWorkspace, scheme, m::LargeModel, h)
    x̂ = step!(ws.step, scheme, m, ws.x, h)
    for g in axes(ws.columns, 1)
        group = ColumnGroup(ws.columns, g)
        step_tangent!(ws.next, ws.stages, scheme, m, ws.x, group, h)
        @inbounds for i in eachindex(ws.next)
            group[i] = ws.next[i]
        end
    end
    copyto!(ws.x, x̂)
    return ws
end
# A VectorModel takes one column at a time.
function advance!(ws::SegmentWorkspace, scheme, m::VectorModel, h)
    x̂ = step!(ws.step, scheme, m, ws.x, h)
    for j in eachindex(ws.x)
        @inbounds for i in eachindex(ws.row)
            ws.row[i] = ws.transposed[j, i]
        end
        step_tangent!(ws.row, ws.step, scheme, m, ws.x, ws.row, h)
        @inbounds for i in eachindex(ws.row)
            ws.transposed[j, i] = ws.row[i]
        end
    end
    copyto!(ws.x, x̂)
    return ws
end

"    segment!(ws, scheme, m, h, k) -> ws advanced by k steps"
function segment!(ws::SegmentWorkspace, scheme, m::ArrayModel, h, k)
    for _ in 1:k
        advance!(ws, scheme, m, h)
    end
    return ws
end
