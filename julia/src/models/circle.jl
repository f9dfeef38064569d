# A circle of D >= 4 places with two neighbours on either side: the default stencil of a LargeModel, used
# unless it defines `each_place`.

"The neighbours of the point i: i-2, i-1, i, i+1, i+2 on the circle."
struct Neighbours
    ll::Int
    l::Int
    i::Int
    r::Int
    rr::Int
end

# The ends of the circle are handled separately, so that the long loop in the middle has no wrap-around.
@inline function each_circle_place(f::F, D::Int) where {F}
    f(Neighbours(D - 1, D, 1, 2, 3))
    f(Neighbours(D, 1, 2, 3, 4))
    for i in 3:D-2
        f(Neighbours(i - 2, i - 1, i, i + 1, i + 2))
    end
    f(Neighbours(D - 3, D - 2, D - 1, D, 1))
    f(Neighbours(D - 2, D - 1, D, 1, 2))
    return nothing
end

# Four places at a time, with the eight values around them in registers, half of which remain from the
# previous four places. One place at a time, the compiler would reload every neighbour from memory, since
# the value just stored might be one of them; loads would then take longer than the arithmetic.
@inline function map_circle!(f::F, out, D::Int, around::Tuple, here::Tuple) where {F}
    last = first_four(around, D)
    for group in 0:D÷4-1
        i = 4group + 1
        a = behind(last, around, i, D)
        last = last_four(a)
        @inbounds (out[i], out[i+1], out[i+2], out[i+3]) = (
            f(FOUR[1], a, values_at(here, i)), f(FOUR[2], a, values_at(here, i + 1)),
            f(FOUR[3], a, values_at(here, i + 2)), f(FOUR[4], a, values_at(here, i + 3)),
        )
    end
    for i in D-D%4+1:D
        s = Neighbours(i - 2, i - 1, i, onto(i + 1, D), onto(i + 2, D))
        @inbounds out[i] = f(s, around, values_at(here, i))
    end
    return out
end

# The neighbours of each of four places i, ..., i + 3 among the eight values around them.
const FOUR = ntuple(k -> Neighbours(k, k + 1, k + 2, k + 3, k + 4), 4)

@inline onto(i, D) = ifelse(i > D, i - D, i)

"    first_four(around, D) -> the values of each vector at D-1, D, 1, 2"
@inline first_four(around::Tuple, D) =
    (seam(around[1], D), first_four(Base.tail(around), D)...)
@inline first_four(::Tuple{}, D) = ()
@inline seam(x, D) = @inbounds (x[D-1], x[D], x[1], x[2])

"    behind(last, around, i, D) -> for each vector, `last` followed by the values at i+2, ..., i+5"
@inline behind(last::Tuple, around::Tuple, i, D) =
    ((last[1]..., next_four(around[1], i, D)...), behind(Base.tail(last), Base.tail(around), i, D)...)
@inline behind(::Tuple{}, ::Tuple{}, i, D) = ()
@inline next_four(x, i, D) = @inbounds (x[i+2], x[i+3], x[onto(i + 4, D)], x[onto(i + 5, D)])

@inline last_four(eight::Tuple) =
    ((eight[1][5], eight[1][6], eight[1][7], eight[1][8]), last_four(Base.tail(eight))...)
@inline last_four(::Tuple{}) = ()

@inline each_place(f::F, m::LargeModel) where {F} = each_circle_place(f, length(m))

const SMALLEST_CIRCLE = 4
