# (∇² - F) u = f on the unit square with u = 0 on its walls, by an exact solver: the discrete sine transform
# along x, a tridiagonal system along y for each of its modes, and the transform back.
#
# The transform is a product with a matrix of sines, halved again and again by parity: a row a of M - 1
# interior points is folded at its middle into its even part, whose modes are the odd ones, and its odd part,
# which is a row of M/2 - 1 points with the even modes. Modes are stored in the order in which they are found.
# M is a power of two, at least 8.
#
# Fields are rows of whole lanes with the walls included; x = 1 starts a cache line.

const GridLanes = Lanes{8,Float64}

"(M+1) x (M+1) points in memory: the point (y, x) is at `at + y * stride + 8x`."
struct GridField
    at::Ptr{Float64}
    stride::Int
end
@inline point(f::GridField, y, x) = f.at + y * f.stride + 8x
@inline lanes_at(f::GridField, y, x) = in_lanes(GridLanes, point(f, y, x))
@inline lanes_at!(f::GridField, y, x, v) = in_lanes!(point(f, y, x), v)

"    grid_field!(memory, M) -> a field of zeros"
function grid_field!(memory::Memory{Float64}, M)
    width = M + 8                       # 7 unused, M + 1 points
    at = numbers!(memory, width * (M + 1) + 16)
    return GridField(at + 56, 8width)
end

"    each_block(f, M): call f(y, x) for the first of eight interior points, x = 1, 9, ..., of all rows"
@inline function each_block(f::F, M) where {F}
    for y in 1:M-1, x in 1:8:M-7
        f(y, x)
    end
end
"Set the wall x = M, which the last block of a row contains, to zero."
@inline function clear_wall!(f::GridField, M)
    for y in 1:M-1
        unsafe_store!(point(f, y, M), 0.0)
    end
    return f
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

"One folding: M points give M/2 odd modes, in the columns from `first`; the sines with rows points, and rows modes."
struct Folding
    half::Int                       # M/2
    first::Int
    even::Panel{Float64}            # even part, columns j = 1 ... M/2
    odd::Panel{Float64}             # odd part, columns j = 1 ... M/2 - 1
    to_modes::Panel{Float64}
    to_points::Panel{Float64}
    rows::Ptr{Int}                  # addresses of the rows and columns of `even`
    columns::Ptr{Int}
end

struct Helmholtz
    M::Int
    memory::Memory{Float64}
    foldings::Vector{Folding}
    last::Folding                   # the modes of the last odd part, not folded: `even` is not used
    modes::Panel{Float64}
    rows::Ptr{Int}                  # addresses of the rows and columns of `modes`
    columns::Ptr{Int}
    pivots::Panel{Float64}          # 1 / (pivot of the row), for each mode
end

const LEAST_FOLDED = 64             # smaller products do not pay for the folding

"    Helmholtz(M, F) -> a solver for the spacing 1/M"
function Helmholtz(M::Int, F::Float64)
    (memory, h) = (Memory{Float64}(), 1 / M)
    rows = M - 1
    modes = panel!(memory, rows, M)
    (foldings, numbers, size, first) = (Folding[], Int[], M, 0)
    scale = 2h^2 / M                # of the inverse transform and of the system times h²
    addresses(p, count) = (addresses!(memory, [p.stride * i for i in 0:rows-1]), addresses!(memory, [8j for j in 0:count-1]))
    while size > LEAST_FOLDED
        half = size ÷ 2
        odd_modes = [2k - 1 for k in 1:half]
        sines = [sinpi(k * j / size) for j in 1:half, k in odd_modes]
        into = scale .* sines
        into[half, :] ./= 2         # the middle stands twice in the even part
        even = panel!(memory, rows, half)
        push!(foldings, Folding(half, first, even, panel!(memory, rows, half), packed!(memory, into),
                                packed!(memory, permutedims(sines)), addresses(even, half)...))
        append!(numbers, odd_modes .* (M ÷ size))
        (size, first) = (half, first + half)
    end
    sines = [sinpi(k * j / size) for j in 1:size-1, k in 1:size-1]
    part = isempty(foldings) ? panel!(memory, rows, size) : foldings[end].odd
    last = Folding(size, first, part, part, packed!(memory, scale .* sines), packed!(memory, sines), addresses(part, size)...)
    append!(numbers, (1:size-1) .* (M ÷ size))
    pivots = panel!(memory, rows, M)
    for (k, number) in enumerate(numbers)
        diagonal = -(2 + 4sinpi(number / 2M)^2 + F * h^2)
        pivot = 0.0
        for y in 0:rows-1
            pivot = 1 / (diagonal - pivot)
            unsafe_store!(row(pivots, y), pivot, k)
        end
    end
    return Helmholtz(M, memory, foldings, last, modes, addresses(modes, M)..., pivots)
end

@inline reversed(a::GridLanes) = GridLanes(Base.llvmcall(
    """%r = shufflevector <8 x double> %0, <8 x double> undef, <8 x i32> <i32 7, i32 6, i32 5, i32 4, i32 3, i32 2, i32 1, i32 0>
       ret <8 x double> %r""", NTuple{8,VecElement{Float64}}, Tuple{NTuple{8,VecElement{Float64}}}, a.v))

"    fold!(f, at, stride): the even and odd parts of the rows at `at`"
function fold!(f::Folding, at, stride, rows)
    for y in 0:rows-1, j in 0:8:f.half-8
        a = in_lanes(GridLanes, at + y * stride + 8j)
        b = reversed(in_lanes(GridLanes, at + y * stride + 8 * (2f.half - j - 9)))
        in_lanes!(row(f.even, y) + 8j, a + b)
        in_lanes!(row(f.odd, y) + 8j, a - b)
    end
end

"    transform!(s): the modes of the folded rows"
function transform!(s::Helmholtz, part::Folding, n)
    into = Panel{Float64}(s.modes.at + 8part.first, s.modes.stride)
    return product!(into, Entries{Float64}(part.even.at, part.rows, part.columns), part.to_modes, s.M - 1, n, n, STORE)
end
function transform_back!(s::Helmholtz, part::Folding, n)
    from = Entries{Float64}(s.modes.at + 8part.first, s.rows, s.columns)
    return product!(part.even, from, part.to_points, s.M - 1, n, n, STORE)
end

"The tridiagonal systems, one for each mode, in place."
function solve_modes!(s::Helmholtz)
    (modes, pivots, M) = (s.modes, s.pivots, s.M)
    for x in 0:8:M-8
        g = row(modes, 0) + 8x
        in_lanes!(g, in_lanes(GridLanes, g) * in_lanes(GridLanes, row(pivots, 0) + 8x))
    end
    for y in 1:M-2, x in 0:8:M-8
        g = row(modes, y) + 8x
        in_lanes!(g, (in_lanes(GridLanes, g) - in_lanes(GridLanes, g - modes.stride)) * in_lanes(GridLanes, row(pivots, y) + 8x))
    end
    for y in M-3:-1:0, x in 0:8:M-8
        g = row(modes, y) + 8x
        u = muladd(-in_lanes(GridLanes, row(pivots, y) + 8x), in_lanes(GridLanes, g + modes.stride), in_lanes(GridLanes, g))
        in_lanes!(g, u)
    end
end

"""
    solve!(out, base, α, s, f) -> out = base + α u with (∇² - F) u = f

`out` may be `base` or `f`. Walls of `out` are not touched.
"""
function solve!(out::GridField, base::GridField, α::Float64, s::Helmholtz, f::GridField)
    rows = s.M - 1
    if isempty(s.foldings)
        for y in 0:rows-1, x in 0:8:s.M-8
            in_lanes!(row(s.last.even, y) + 8x, lanes_at(f, y + 1, x + 1))
        end
    else
        (at, stride) = (point(f, 1, 1), f.stride)
        for part in s.foldings
            fold!(part, at, stride, rows)
            (at, stride) = (part.odd.at, part.odd.stride)
        end
    end
    for part in s.foldings
        transform!(s, part, part.half)
    end
    transform!(s, s.last, s.last.half - 1)
    solve_modes!(s)
    transform_back!(s, s.last, s.last.half - 1)
    for part in s.foldings
        transform_back!(s, part, part.half)
    end
    for k in length(s.foldings):-1:2
        unfold!(s.foldings[k], s.foldings[k-1].odd, rows)
    end
    add_unfolded!(out, base, GridLanes(α), s)
    return clear_wall!(out, s.M)
end

"The rows whose even and odd parts these are, into the odd part of the folding before."
function unfold!(f::Folding, to::Panel, rows)
    for y in 0:rows-1, j in 0:8:f.half-8
        (a, b) = (in_lanes(GridLanes, row(f.even, y) + 8j), in_lanes(GridLanes, row(f.odd, y) + 8j))
        in_lanes!(row(to, y) + 8j, a + b)
        in_lanes!(row(to, y) + 8 * (2f.half - j - 9), reversed(a - b))
    end
end
function add_unfolded!(out, base, α, s)
    if isempty(s.foldings)
        each_block(s.M) do y, x
            @inlined
            lanes_at!(out, y, x, muladd(α, in_lanes(GridLanes, row(s.last.even, y - 1) + 8 * (x - 1)), lanes_at(base, y, x)))
        end
        return
    end
    f = s.foldings[1]
    for y in 1:s.M-1, j in 0:8:f.half-8
        (a, b) = (in_lanes(GridLanes, row(f.even, y - 1) + 8j), in_lanes(GridLanes, row(f.odd, y - 1) + 8j))
        (x, mirrored) = (j + 1, 2f.half - j - 8)
        left = muladd(α, a + b, lanes_at(base, y, x))
        right = muladd(α, reversed(a - b), lanes_at(base, y, mirrored))
        lanes_at!(out, y, x, left)
        lanes_at!(out, y, mirrored, right)
    end
end
