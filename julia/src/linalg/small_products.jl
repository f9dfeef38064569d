# Products of small matrices, which take most of the time of learned priors and solvers.
#
# A library's product first copies its factors; with some sixty columns this takes as long as the
# arithmetic. Here the right factor and the result are `Panel`s, rows of whole lanes, and the left factor
# is `Entries`, with entry (i, k) at the address of row i plus the offset of column k. The patches of a
# convolution, in any order, and the transpose of a panel can then be left factors without a copy, and
# one loop serves a layer, its pullback and the gradient of its weights.
#
# Everything here works on addresses. The caller owns the memory, in a `Memory` that it preserves.

"What a product does with its result: store it, add it, store its ReLU, or store it where a ReLU is active."
@enum Finish STORE ADD RELU MASK

# A tile of results stays in registers: six rows of two registers are twelve of the sixteen of AVX2, and
# as many of the 32 wider ones of AVX-512. With one register per row, six fused multiply-adds would not
# hide their latency.
const TILE_ROWS = 6
const HAS_AVX512 = Ref(false)
__init__() = HAS_AVX512[] = Sys.islinux() && occursin(" avx512f", read("/proc/cpuinfo", String))

"A matrix with rows of whole lanes, `stride` bytes apart."
struct Panel{T}
    at::Ptr{T}
    stride::Int
end

"A matrix with entry (i, k) at `at + rows[i] + columns[k]` bytes."
struct Entries{T}
    at::Ptr{T}
    rows::Ptr{Int}
    columns::Ptr{Int}
end
Base.transpose(a::Entries) = Entries(a.at, a.columns, a.rows)

"The memory of panels and lists of addresses, which must be preserved while they are used."
struct Memory{T}
    numbers::Vector{Vector{T}}
    addresses::Vector{Vector{Int}}
end
Memory{T}() where {T} = Memory{T}(Vector{T}[], Vector{Int}[])

"""
    numbers!(memory, n) -> address of n zeros

They are followed by room for a whole tile, because tiles are not cut at the end of a panel, and aligned to a
cache line, which Julia does not guarantee.
"""
function numbers!(memory::Memory{T}, n) where {T}
    line = 64 ÷ sizeof(T)
    push!(memory.numbers, zeros(T, n + 2line))
    at = pointer(last(memory.numbers))
    return at + mod(-Int(UInt(at) % 64), 64)
end

"    addresses!(memory, bytes) -> address of these numbers, padded to whole tiles with the last one"
function addresses!(memory::Memory, bytes)
    filled = [bytes[min(i, length(bytes))] for i in 1:length(bytes)+TILE_ROWS]
    push!(memory.addresses, filled)
    return pointer(last(memory.addresses))
end

whole_lanes(::Type{T}, columns) where {T} = lanes(lanes_for(T)) * cld(columns, lanes(lanes_for(T)))

"    panel!(memory, rows, columns) -> a panel of zeros"
function panel!(memory::Memory{T}, rows, columns) where {T}
    width = whole_lanes(T, columns)
    rows = TILE_ROWS * cld(rows, TILE_ROWS)
    return Panel{T}(numbers!(memory, rows * width), width * sizeof(T))
end

"    packed!(memory, A) -> a panel with the numbers of a matrix"
function packed!(memory::Memory, A::Matrix)
    panel = panel!(memory, size(A)...)
    for i in axes(A, 1), j in axes(A, 2)
        unsafe_store!(row(panel, i - 1), A[i, j], j)
    end
    return panel
end

@inline row(p::Panel, i) = p.at + i * p.stride
@inline in_lanes(::Type{N}, at) where {N} = unsafe_load(Ptr{N}(at))
@inline in_lanes!(at, v::N) where {N} = unsafe_store!(Ptr{N}(at), v)

"""
    product!(C, A, B, n, m, K, finish, like = C) -> n rows, m columns of C from A B

`A` has K columns. The result is stored, added, stored as max(0, ·), or stored where `like` is positive and 0
elsewhere (`Finish`). Whole tiles are computed: rows up to a multiple of six, columns up to half lanes. The
width of the tiles does not change a bit of the result.
"""
@noinline function product!(C::Panel{T}, A::Entries{T}, B::Panel{T}, n::Int, m::Int, K::Int, finish::Finish, like::Panel{T} = C) where {T}
    N = lanes_for(T)
    (half, double) = (half_lanes(N), double_lanes(N))
    for i in 0:TILE_ROWS:n-1
        a = (A.at + unsafe_load(A.rows, i + 1), A.at + unsafe_load(A.rows, i + 2), A.at + unsafe_load(A.rows, i + 3),
             A.at + unsafe_load(A.rows, i + 4), A.at + unsafe_load(A.rows, i + 5), A.at + unsafe_load(A.rows, i + 6))
        j = 0
        while j < m * sizeof(T)
            (c, b, l, left) = (row(C, i) + j, B.at + j, row(like, i) + j, m * sizeof(T) - j)
            if left > sizeof(N) && HAS_AVX512[]
                tile!(double, c, C.stride, a, A.columns, b, B.stride, K, finish, l, like.stride)
                j += sizeof(double)
            elseif left > sizeof(half)
                tile!(N, c, C.stride, a, A.columns, b, B.stride, K, finish, l, like.stride)
                j += sizeof(N)
            else
                tile!(half, c, C.stride, a, A.columns, b, B.stride, K, finish, l, like.stride)
                j += sizeof(half)
            end
        end
    end
    return C
end

@inline function tile!(::Type{N}, c, stride, (a₁, a₂, a₃, a₄, a₅, a₆), columns, b, b_stride, K, finish, l, l_stride) where {N}
    c₁ = c₂ = c₃ = c₄ = c₅ = c₆ = zero(N)
    for k in 1:K
        column = unsafe_load(columns, k)
        v = in_lanes(N, b)
        c₁ = muladd(N(unsafe_load(a₁ + column)), v, c₁)
        c₂ = muladd(N(unsafe_load(a₂ + column)), v, c₂)
        c₃ = muladd(N(unsafe_load(a₃ + column)), v, c₃)
        c₄ = muladd(N(unsafe_load(a₄ + column)), v, c₄)
        c₅ = muladd(N(unsafe_load(a₅ + column)), v, c₅)
        c₆ = muladd(N(unsafe_load(a₆ + column)), v, c₆)
        b += b_stride
    end
    finish!(c, c₁, finish, l)
    finish!(c + stride, c₂, finish, l + l_stride)
    finish!(c + 2stride, c₃, finish, l + 2l_stride)
    finish!(c + 3stride, c₄, finish, l + 3l_stride)
    finish!(c + 4stride, c₅, finish, l + 4l_stride)
    finish!(c + 5stride, c₆, finish, l + 5l_stride)
end

@inline function finish!(at, v::N, finish, like) where {N}
    if finish === ADD
        v += in_lanes(N, at)
    elseif finish === RELU
        v = where_positive(v, v)
    elseif finish === MASK
        v = where_positive(in_lanes(N, like), v)
    end
    in_lanes!(at, v)
end

# Allocating memory would take as long as the work in it and trigger garbage collections, so workspaces
# are kept for the next call with the same sizes. Calls do not run concurrently.
const WORKSPACES = Dict{Any,Any}()
const MOST_WORKSPACES = 8

"    workspace(make, key) -> make(), or its earlier result for the same key"
function workspace(make, key)
    haskey(WORKSPACES, key) && return WORKSPACES[key]
    length(WORKSPACES) < MOST_WORKSPACES || empty!(WORKSPACES)
    return WORKSPACES[key] = make()
end

"Set n rows to zero."
function clear!(p::Panel{T}, n) where {T}
    for i in 0:n-1, k in 1:p.stride÷sizeof(T)
        unsafe_store!(row(p, i), zero(T), k)
    end
end

"    each_window(f, rooms, windows): call f(room, w) for all windows w, with one thread per room"
function each_window(f, rooms, windows)
    in_threads(length(rooms)) do k
        for w in (k - 1) * windows ÷ length(rooms) + 1:k * windows ÷ length(rooms)
            f(rooms[k], w)
        end
    end
    return nothing
end
