# Dormand-Prince 5(4) with step-size control and dense output (Dormand & Prince 1980; the
# interpolant is that of Hairer, Nørsett & Wanner, Solving ODEs I, II.6).
#
# Each window has its own start and its own steps. All arithmetic is on `Unfused` numbers, and the
# controller replaces err^(-1/5) by err^(-3/16), computed from square roots, which IEEE 754 rounds
# exactly. The torch engine does the same, and both give the same bits.

const A₂ = (1 / 5,)
const A₃ = (3 / 40, 9 / 40)
const A₄ = (44 / 45, -56 / 15, 32 / 9)
const A₅ = (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729)
const A₆ = (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656)
const A₇ = (35 / 384, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)         # k₂ has weight 0
const E = (71 / 57600, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
const P = (
    -12715105075 / 11282082432, 87487479700 / 32700410799, -10690763975 / 1880347072,
    701980252875 / 199316789632, -1453857185 / 822651844, 69997945 / 29380423,
)

# a₁ k₁ + a₂ k₂ + ... of component i, summed from left to right
@inline combination(a, k, i) = more(@inbounds(a[1] * k[1][i]), Base.tail(a), Base.tail(k), i)
@inline more(s, a::Tuple, k::Tuple, i) = more(@inbounds(s + a[1] * k[1][i]), Base.tail(a), Base.tail(k), i)
@inline more(s, ::Tuple{}, ::Tuple{}, i) = s

const Real64 = Unfused{Float64}
const STEPS_AT_MOST = 1000

"""
    simulate!(x, start, m, dt, spinup, rtol, atol) -> number of windows that diverged

Integrate from each column of `start`, `(state, window)`, over `spinup` model time units and then
over the `T` steps of length `dt` whose states fill `x`, `(state, time, window)`; `x[:, 1, w]` is
the state after the spin-up. A window is filled with NaN if it diverges, if its steps become too small,
or if there are too many.
"""
function simulate!(x, start, m, dt, spinup, rtol, atol)
    D, T, windows = size(x)
    N = simulated_as(m)
    m = retype(N, m)
    finite = fill(true, windows)
    in_threads(windows) do w
        finite[w] = trajectory!(view(x, :, :, w), N.(start[:, w]), m, dt, spinup, rtol, atol)
        finite[w] || fill!(view(x, :, :, w), NaN)
    end
    return count(!, finite)
end

simulated_as(::Model) = Real64
simulated_as(::VectorModel) = Float64       # because its functions may call a library
@inline plain(x::Unfused) = x.value
@inline plain(x::AbstractFloat) = x

function trajectory!(out, start::Vector{N}, m, dt, spinup, rtol, atol) where {N}
    has_own_step(m) && return repeat_step!(out, start, m, dt, spinup)
    a₂, a₃, a₄, a₅, a₆, a₇, e, p = map(c -> N.(c), (A₂, A₃, A₄, A₅, A₆, A₇, E, P))
    m = with_room(m)
    # `start` and not `y`, because a variable that a closure captures and that is reassigned gets boxed.
    y, k₁, k₂, k₃, k₄, k₅, k₆, k₇, z, y⁺ = ntuple(_ -> copy(start), Val(10))
    T = size(out, 2)
    saved = 0
    t = -spinup
    h = dt / 8
    left = STEPS_AT_MOST * (spinup / dt + T)
    tendency!(k₁, m, y)
    while saved < T
        η = N(h)
        tendency!(k₂, m, stage!(z, m, y, η, a₂, (k₁,)))
        tendency!(k₃, m, stage!(z, m, y, η, a₃, (k₁, k₂)))
        tendency!(k₄, m, stage!(z, m, y, η, a₄, (k₁, k₂, k₃)))
        tendency!(k₅, m, stage!(z, m, y, η, a₅, (k₁, k₂, k₃, k₄)))
        tendency!(k₆, m, stage!(z, m, y, η, a₆, (k₁, k₂, k₃, k₄, k₅)))
        tendency!(k₇, m, stage!(y⁺, m, y, η, a₇, (k₁, k₃, k₄, k₅, k₆)))
        err = error_norm(m, y, y⁺, η, e, (k₁, k₃, k₄, k₅, k₆, k₇), N(rtol), N(atol))
        if err <= 1
            t⁺ = t + h
            while saved < T && saved * dt <= t⁺
                θ = N((saved * dt - t) / h)
                interpolate!(view(out, :, saved + 1), y, y⁺, η, θ, p, (k₁, k₃, k₄, k₅, k₆, k₇))
                saved += 1
            end
            t = t⁺
            (y, y⁺) = (y⁺, y)
            (k₁, k₇) = (k₇, k₁)
        end
        h *= step_factor(err)
        left -= 1
        (h > 1e-5 * dt && left > 0) || return false
    end
    return all(isfinite, out)
end

@inline function stage!(z, m, y, h, a, k)
    for i in 1:length(m)            # a constant for Lorenz-63: the loop unrolls
        @inbounds z[i] = y[i] + h * combination(a, k, i)
    end
    return z
end

@inline function error_norm(m, y, y⁺, h, e, k, rtol, atol)
    worst = 0.0
    for i in 1:length(m)
        scale = @inbounds atol + rtol * max(abs(y[i]), abs(y⁺[i]))
        ratio = plain(abs(h * combination(e, k, i)) / scale)
        worst = ifelse(ratio <= worst, worst, ratio)        # keeps a NaN
    end
    return worst
end

@inline function step_factor(err)
    isfinite(err) || return 0.2
    root = sqrt(sqrt(sqrt(err)))
    return min(err <= 1 ? 5.0 : 1.0, max(0.2, 0.9 / (root * sqrt(root))))
end

@inline function interpolate!(out, y, y⁺, h, θ, p, k)
    one_minus = one(θ) - θ
    for i in eachindex(y)
        @inbounds difference = y⁺[i] - y[i]
        @inbounds c₃ = h * k[1][i] - difference
        @inbounds c₄ = difference - h * k[6][i] - c₃
        c₅ = h * combination(p, k, i)
        @inbounds out[i] = plain(y[i] + θ * (difference + one_minus * (c₃ + θ * (c₄ + one_minus * c₅))))
    end
end

# --- whole arrays -----------------------------------------------------------------------------------

"A VectorModel with its workspace, so that `tendency!` works on vectors."
struct WithRoom{M,W}
    m::M
    ws::W
end
with_room(m::Model) = m
with_room(m::VectorModel) = WithRoom(m, VectorStepWorkspace(m))
Base.length(m::WithRoom) = length(m.m)
tendency!(dx, r::WithRoom, x) = copyto!(dx, rate!(tendency!, r.ws, r.m, x, nothing))

"Simulate a model with its own scheme by repeating its step; `spinup` is rounded to whole steps."
function repeat_step!(out, start, m, dt, spinup)
    ws = VectorStepWorkspace(m)
    x = copy(start)
    before = round(Int, spinup / dt)
    for t in 1-before:size(out, 2)
        t > 0 && (out[:, t] .= x)
        copyto!(x, own_step!(ws, m, x, dt))
    end
    return all(isfinite, out)
end
