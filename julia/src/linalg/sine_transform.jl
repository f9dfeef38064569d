# The discrete sine transform DST-I, F_k = Σ_{j<N} f_j sin(π jk/N) for k = 1 ... N - 1, of eight rows at once: a lane holds
# a row. N is a power of two, at least 8.
#
# With the even and odd parts of f mixed into one real sequence of N numbers (Press et al., Numerical Recipes, 3rd
# edition, section 12.4.1),
#
#     y_j = sin(π j/N) (f_j + f_{N-j}) + (f_j - f_{N-j}) / 2,      Y_k = Σ_j y_j exp(2πi jk/N),
#
# the even modes are F_{2k} = Im Y_k, and the odd ones the sums F_{2k+1} = F_{2k-1} + Re Y_k with F_1 = Y_0 / 2. Y comes from
# a complex transform of n = N/2 numbers y_{2m} + i y_{2m+1}, in place, by radix 4 and one last radix 2 where n is no power
# of four; it leaves its numbers in the order of their reversed digits.
#
# The transform is symmetric, so that it is its own adjoint, and N/2 times its own inverse.

const GridLanes = Lanes{8,Float64}
const LINE = sizeof(GridLanes)

struct SineTransform
    N::Int
    sines::Ptr{Float64}             # sin(π j/N), j < N
    turns::Ptr{Float64}             # cos and sin of 2π k/n, k < n, one after the other
    half_turns::Ptr{Float64}        # cos and sin of 2π k/N, k <= n/2
    places::Ptr{Int}                # offset in bytes of the k-th complex number
    numbers::Ptr{GridLanes}         # the N numbers in the place
    modes::Ptr{GridLanes}           # N modes, the first of them unused
end

"    SineTransform(memory, N) -> the transform, with its tables and its room in `memory`"
function SineTransform(memory::Memory{Float64}, N::Int)
    n = N ÷ 2
    table(values) = (at = numbers!(memory, length(values)); foreach(i -> unsafe_store!(at, values[i], i), eachindex(values)); at)
    angles(count, size) = [f(2k / size) for k in 0:count-1 for f in (cospi, sinpi)]
    room() = Ptr{GridLanes}(numbers!(memory, 8N))
    places = addresses!(memory, [2LINE * place_of(k, n) for k in 0:n-1])
    return SineTransform(N, table([sinpi(j / N) for j in 0:N-1]), table(angles(n, n)), table(angles(n ÷ 2 + 1, N)), places, room(), room())
end

"Where the in-place transform of n numbers leaves the k-th one."
place_of(k, n) = n == 1 ? 0 : (radix = n == 2 ? 2 : 4; k % radix * (n ÷ radix) + place_of(k ÷ radix, n ÷ radix))

@inline lanes_of(p::Ptr{GridLanes}, i) = unsafe_load(p + LINE * i)
@inline lanes_of!(p::Ptr{GridLanes}, i, v) = unsafe_store!(p + LINE * i, v)
@inline scalar(p::Ptr{Float64}, i) = GridLanes(unsafe_load(p + 8i))

"    sine_modes!(s): s.modes become 4 F, where s.numbers held f_1 ... f_{N-1}; these are lost"
function sine_modes!(s::SineTransform)
    mix_parts!(s)
    n = s.N ÷ 2
    span = n
    while span >= 4
        radix_four!(s.numbers, n, span, s.turns)
        span ÷= 4
    end
    span == 2 && radix_two!(s.numbers, n)
    return separate!(s)
end

"The sequence y, twice."
@inline function mix_parts!(s::SineTransform)
    (p, N, two) = (s.numbers, s.N, GridLanes(2))
    lanes_of!(p, 0, zero(GridLanes))
    for j in 1:N÷2-1
        (a, b) = (lanes_of(p, j), lanes_of(p, N - j))
        (sum, difference) = (two * scalar(s.sines, j) * (a + b), a - b)
        lanes_of!(p, j, sum + difference)
        lanes_of!(p, N - j, sum - difference)
    end
    lanes_of!(p, N ÷ 2, GridLanes(4) * lanes_of(p, N ÷ 2))
end

"One pass over all blocks of `span` complex numbers: each becomes four blocks, of the modes k with k mod 4 = 0, 1, 2, 3."
@noinline function radix_four!(p, n, span, turns)
    quarter = span ÷ 4
    for i in 0:quarter-1
        at = 2 * (n ÷ span) * i
        (c₁, s₁, c₂, s₂, c₃, s₃) = (scalar(turns, at), scalar(turns, at + 1), scalar(turns, 2at), scalar(turns, 2at + 1),
                                    scalar(turns, 3at), scalar(turns, 3at + 1))
        for block in 0:span:n-span
            (j₀, step) = (2 * (block + i), 2quarter)
            (j₁, j₂, j₃) = (j₀ + step, j₀ + 2step, j₀ + 3step)
            (x₀, y₀, x₁, y₁) = (lanes_of(p, j₀), lanes_of(p, j₀ + 1), lanes_of(p, j₁), lanes_of(p, j₁ + 1))
            (x₂, y₂, x₃, y₃) = (lanes_of(p, j₂), lanes_of(p, j₂ + 1), lanes_of(p, j₃), lanes_of(p, j₃ + 1))
            (xe, ye, xo, yo) = (x₀ + x₂, y₀ + y₂, x₁ + x₃, y₁ + y₃)
            (xd, yd, xt, yt) = (x₀ - x₂, y₀ - y₂, y₃ - y₁, x₁ - x₃)         # the last one turned by i
            lanes_of!(p, j₀, xe + xo)
            lanes_of!(p, j₀ + 1, ye + yo)
            turned!(p, j₁, xd + xt, yd + yt, c₁, s₁)
            turned!(p, j₂, xe - xo, ye - yo, c₂, s₂)
            turned!(p, j₃, xd - xt, yd - yt, c₃, s₃)
        end
    end
end
@inline function turned!(p, j, x, y, c, s)
    lanes_of!(p, j, muladd(-s, y, c * x))
    lanes_of!(p, j + 1, muladd(s, x, c * y))
end
@noinline function radix_two!(p, n)
    for j in 0:4:2n-4
        (x₀, y₀, x₁, y₁) = (lanes_of(p, j), lanes_of(p, j + 1), lanes_of(p, j + 2), lanes_of(p, j + 3))
        lanes_of!(p, j, x₀ + x₁)
        lanes_of!(p, j + 1, y₀ + y₁)
        lanes_of!(p, j + 2, x₀ - x₁)
        lanes_of!(p, j + 3, y₀ - y₁)
    end
end

"The modes from the complex numbers: Y_k = E + exp(2πi k/N) O of the parts E and i O of Z, which are Hermitian."
@inline function separate!(s::SineTransform)
    (n, out, half) = (s.N ÷ 2, s.modes, GridLanes(0.5))
    (x, y) = complex_at(s, 0)
    first = x + y                                       # 2 Y_0 = 4 F_1, as E and O are doubled below
    lanes_of!(out, 1, first)
    for k in 1:n÷2
        (x, y) = complex_at(s, k)
        (u, v) = complex_at(s, n - k)
        (c, t) = (scalar(s.half_turns, 2k), scalar(s.half_turns, 2k + 1))
        (xe, ye, xo, yo) = (x + u, y - v, y + v, u - x)
        (xt, yt) = (muladd(-t, yo, c * xo), muladd(t, xo, c * yo))
        lanes_of!(out, 2k, ye + yt)
        lanes_of!(out, 2k + 1, xe + xt)
        lanes_of!(out, 2 * (n - k), yt - ye)
        lanes_of!(out, 2 * (n - k) + 1, xe - xt)
    end
    sum = first
    for k in 3:2:s.N-1
        sum += lanes_of(out, k)
        lanes_of!(out, k, sum)
    end
    lanes_of!(out, 0, zero(GridLanes))
end
@inline function complex_at(s, k)
    at = s.numbers + unsafe_load(s.places, k + 1)
    return unsafe_load(at), unsafe_load(at + LINE)
end

# Rows and lanes: 8 x 8 numbers are transposed in three rounds of shuffles, of pairs, fours and halves.

for (name, mask) in ((:odd_of_pairs, (0, 8, 2, 10, 4, 12, 6, 14)), (:even_of_pairs, (1, 9, 3, 11, 5, 13, 7, 15)),
                     (:first_of_fours, (0, 1, 8, 9, 4, 5, 12, 13)), (:second_of_fours, (2, 3, 10, 11, 6, 7, 14, 15)),
                     (:first_halves, (0, 1, 2, 3, 8, 9, 10, 11)), (:second_halves, (4, 5, 6, 7, 12, 13, 14, 15)))
    V = NTuple{8,VecElement{Float64}}
    ir = """%r = shufflevector <8 x double> %0, <8 x double> %1, <8 x i32> <$(join(("i32 $i" for i in mask), ", "))>
            ret <8 x double> %r"""
    @eval @inline $name(a::GridLanes, b::GridLanes) = GridLanes(Base.llvmcall($ir, $V, Tuple{$V,$V}, a.v, b.v))
end

"    transposed(rows): the columns of eight rows of eight numbers"
@inline function transposed((a, b, c, d, e, f, g, h)::NTuple{8,GridLanes})
    (ab, ba, cd, dc) = (odd_of_pairs(a, b), even_of_pairs(a, b), odd_of_pairs(c, d), even_of_pairs(c, d))
    (ef, fe, gh, hg) = (odd_of_pairs(e, f), even_of_pairs(e, f), odd_of_pairs(g, h), even_of_pairs(g, h))
    (p₁, p₂, p₃, p₄) = (first_of_fours(ab, cd), first_of_fours(ba, dc), second_of_fours(ab, cd), second_of_fours(ba, dc))
    (q₁, q₂, q₃, q₄) = (first_of_fours(ef, gh), first_of_fours(fe, hg), second_of_fours(ef, gh), second_of_fours(fe, hg))
    return (first_halves(p₁, q₁), first_halves(p₂, q₂), first_halves(p₃, q₃), first_halves(p₄, q₄),
            second_halves(p₁, q₁), second_halves(p₂, q₂), second_halves(p₃, q₃), second_halves(p₄, q₄))
end
@inline eight_rows(at, stride) = ntuple(i -> in_lanes(GridLanes, at + (i - 1) * stride), Val(8))
@inline function eight_rows!(at, stride, rows)
    for i in 1:8
        in_lanes!(at + (i - 1) * stride, rows[i])
    end
end

"    load_rows!(s, at, stride): the numbers 1 ... N - 1 of eight rows whose number 1 is at `at` + 0, 1, ... 7 `stride`"
@inline function load_rows!(s::SineTransform, at, stride)
    for x in 0:8:s.N-8
        columns = transposed(eight_rows(at + 8x, stride))
        for i in 1:7
            lanes_of!(s.numbers, x + i, columns[i])
        end
        x + 8 < s.N && lanes_of!(s.numbers, x + 8, columns[8])
    end
end
"    modes_in_rows(s, x): the modes x + 1 ... x + 8 of the eight rows; mode N does not exist and is 0"
@inline function modes_in_rows(s::SineTransform, x)
    last = x + 8 < s.N ? lanes_of(s.modes, x + 8) : zero(GridLanes)
    p = s.modes
    return transposed((lanes_of(p, x + 1), lanes_of(p, x + 2), lanes_of(p, x + 3), lanes_of(p, x + 4),
                       lanes_of(p, x + 5), lanes_of(p, x + 6), lanes_of(p, x + 7), last))
end
