# (∇² - F) u = f on the unit square with u = 0 on its walls, by an exact solver: the discrete sine transform
# along x (sine_transform.jl), a tridiagonal system along y for each of its modes, and the transform back, which
# takes M² log M operations. M is a power of two, at least 8.
#
# Fields are rows of whole lanes with the walls included; x = 1 starts a cache line.

"(M+1) x (M+1) points in memory: the point (y, x) is at `at + y * stride + 8x`."
struct GridField
    at::Ptr{Float64}
    stride::Int
end
@inline point(f::GridField, y, x) = f.at + y * f.stride + 8x

"The last sixteen rows of a field that is computed row by row and used at once."
struct RingField
    at::Ptr{Float64}
    stride::Int
end
@inline point(f::RingField, y, x) = f.at + ((y - 1) & 15) * f.stride + 8x

const AnyField = Union{GridField,RingField}
@inline lanes_at(f::AnyField, y, x) = in_lanes(GridLanes, point(f, y, x))
@inline lanes_at!(f::AnyField, y, x, v) = in_lanes!(point(f, y, x), v)

"    grid_field!(memory, M), ring_field!(memory, M) -> a field of zeros"
grid_field!(memory, M) = GridField(rows_of_zeros!(memory, M, M + 1)...)
ring_field!(memory, M) = RingField(rows_of_zeros!(memory, M, 16)...)
function rows_of_zeros!(memory::Memory{Float64}, M, rows)
    width = M + 8                       # 7 unused, M + 1 points
    return numbers!(memory, width * rows + 16) + 56, 8width
end

"    load!(f, array): the interior points of a field, whose walls are zero, from an array (x, y)"
function load!(f::GridField, array)
    @inbounds for y in 2:size(array, 2)-1, x in 2:size(array, 1)-1
        unsafe_store!(point(f, y - 1, x - 1), array[x, y])
    end
    return f
end
function store!(array, f::GridField)
    @inbounds for y in axes(array, 2), x in axes(array, 1)
        array[x, y] = unsafe_load(point(f, y - 1, x - 1))
    end
    return array
end

struct Helmholtz
    M::Int
    memory::Memory{Float64}
    sines::SineTransform
    modes::Panel{Float64}           # (y, mode)
    pivots::Panel{Float64}          # 1 / (pivot of the row), for each mode
    settled::Vector{Int}            # the row from which on those of eight modes, and of all later modes, are constant
end

"    Helmholtz(M, F) -> a solver for the spacing 1/M"
function Helmholtz(M::Int, F::Float64)
    memory = Memory{Float64}()
    # Rows a power of two apart would share a few lines of the cache: one line more.
    (modes, pivots) = (panel!(memory, M, M + 8), panel!(memory, M, M + 8))
    settled = zeros(Int, M ÷ 8)
    for k in 1:M-1
        diagonal = -(2 + 4sinpi(k / 2M)^2 + F / M^2)
        pivot = 0.0
        for y in 0:M-2
            before = pivot
            pivot = 1 / (diagonal - before)
            unsafe_store!(row(pivots, y), pivot, k)
            abs(pivot - before) > eps(pivot) && (settled[cld(k, 8)] = max(settled[cld(k, 8)], y))
        end
    end
    for i in length(settled)-1:-1:1
        settled[i] = max(settled[i], settled[i+1])
    end
    return Helmholtz(M, memory, SineTransform(memory, M), modes, pivots, settled)
end

"    to_modes!(s, f, y): the modes of the rows y ... y + 7 of a field, y = 1, 9, ..., whose wall y = M is zero"
function to_modes!(s::Helmholtz, f::AnyField, y)
    load_rows!(s.sines, point(f, y, 1), f.stride)
    sine_modes!(s.sines)
    for x in 0:8:s.M-8
        eight_rows!(row(s.modes, y - 1) + 8x, s.modes.stride, modes_in_rows(s.sines, x))
    end
end

"    solve_modes!(s): the tridiagonal systems, in place"
function solve_modes!(s::Helmholtz)
    for x in 0:32:s.M-32
        solve_modes!(s, x, Val(4))
    end
    s.M < 32 && for x in 0:8:s.M-8
        solve_modes!(s, x, Val(1))
    end
end

"""
    add_solution!(out, base, α, s, y) -> out = base + α u in the rows y ... y + 7, with (∇² - F) u = f

`f` is the field whose modes were solved. `out` may be `base`; without a base it is α u. The walls of `base` are zero,
and so are those of `out`.
"""
function add_solution!(out::AnyField, base::Union{GridField,Nothing}, α::Float64, s::Helmholtz, y)
    M = s.M
    scale = GridLanes(α / (8.0 * M^3))      # two transforms are 16 M / 2 times the identity, and the system has M²
    load_rows!(s.sines, row(s.modes, y - 1), s.modes.stride)
    sine_modes!(s.sines)
    for x in 1:8:M-7
        eight_rows!(point(out, y, x), out.stride, added(base, scale, modes_in_rows(s.sines, x - 1), y, x))
    end
end
@inline added(::Nothing, scale, rows, y, x) = map(u -> scale * u, rows)
@inline added(base::GridField, scale, rows, y, x) = map((u, b) -> muladd(scale, u, b), rows, eight_rows(point(base, y, x), base.stride))

"The systems of the 8 W modes from x + 1 on: W chains of operations hide their latency."
@noinline function solve_modes!(s::Helmholtz, x, W::Val)
    (modes, pivots) = (Panel{Float64}(s.modes.at + 8x, s.modes.stride), Panel{Float64}(s.pivots.at + 8x, s.pivots.stride))
    (last, settled) = (s.M - 2, @inbounds s.settled[x÷8+1])
    u = map(_ -> zero(GridLanes), several_lanes(row(modes, 0), W))
    for y in 0:last
        (f, pivot) = (several_lanes(row(modes, y), W), several_lanes(row(pivots, min(y, settled)), W))
        u = map((f, p, u) -> muladd(-p, u, f * p), f, pivot, u)
        several_lanes!(row(modes, y), u)
    end
    for y in last-1:-1:0
        (f, pivot) = (several_lanes(row(modes, y), W), several_lanes(row(pivots, min(y, settled)), W))
        u = map((f, p, u) -> muladd(-p, u, f), f, pivot, u)
        several_lanes!(row(modes, y), u)
    end
end
@inline several_lanes(at, ::Val{W}) where {W} = ntuple(i -> in_lanes(GridLanes, at + LINE * (i - 1)), Val(W))
@inline several_lanes!(at, u::NTuple{W,GridLanes}) where {W} = foreach(i -> in_lanes!(at + LINE * (i - 1), u[i]), 1:W)
