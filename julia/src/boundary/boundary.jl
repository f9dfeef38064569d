# What Python calls. Three rules:
#   1. Only C numbers and pointers cross: sizes, doubles, and arrays that the caller owns.
#   2. No exception crosses: a call returns 0, or 1 and one line in the caller's message buffer.
#      What can be foreseen is refused by a sentence and not by an exception: with another libunwind
#      than Julia was built with (Debian 11's Julia on Debian 12), an exception that unwinds compiled
#      code ends the process.
#   3. The caller has checked shapes, types and finiteness; pointers are trusted here.
# Arrays are C-ordered (window, time, state), which is (state, time, window) here.

# Asked after `refusal` has found nothing.
model_of(id, p, D) =
    id == 63 ? Lorenz63(unsafe_load(p, 1), unsafe_load(p, 2), unsafe_load(p, 3)) :
    Lorenz96(unsafe_load(p, 1), Int(D))
scheme_of(id) = id == 1 ? Euler() : RungeKutta4()
type_of(bytes) = bytes == 8 ? Float64 : Float32
array_at(p, ::Type{T}, dims...) where {T} = unsafe_wrap(Array, Ptr{T}(p), Int.(dims))

"What of cost/point_observations.jl comes as `(datum, window)` arrays of this many data; nothing where there are none."
points_at_address(::Type{S}, D, windows, count, step, fraction, y, weight, operator) where {S} =
    count == 0 ? nothing :
    Points{S}(array_at(step, Int64, count, windows), array_at(fraction, S, count, windows),
              array_at(y, S, count, windows), array_at(weight, S, count, windows),
              array_at(operator, S, D, count, windows))

"    refusal(model, scheme, bytes) -> what is wrong with these numbers, or nothing"
function refusal(model, scheme = 4, bytes = 8)
    model in (63, 96) || return "unknown model number $model"
    scheme in (1, 4) || return "unknown scheme number $scheme"
    bytes in (4, 8) || return "numbers of $bytes bytes"
    return nothing
end

"""
    guarded(f, message, capacity, refused = nothing) -> 0, or 1 and a message

Run `f`, unless it is `refused`; write why that was, or what went wrong, into the message buffer.
"""
function guarded(f, message, capacity, refused = nothing)
    if refused === nothing
        try
            f()
            return Cint(0)
        catch e
            refused = sprint(showerror, e)
        end
    end
    text = codeunits(refused)
    n = min(length(text), capacity - 1)
    for i in 1:n
        unsafe_store!(message, text[i], i)
    end
    unsafe_store!(message, 0x00, n + 1)
    return Cint(1)
end

function c_simulate(model, p, D, T, windows, start, x, dt, spinup, rtol, atol, message, capacity)
    guarded(message, capacity, refusal(model)) do
        simulate!(array_at(x, Float64, D, T, windows), array_at(start, Float64, D, windows),
                  model_of(model, p, D), dt, spinup, rtol, atol)
    end
end

function c_cost(model, p, D, T, windows, bytes, scheme, h, λ₁, λ₂, x, y, mask, cost, gradient,
                count, step, fraction, value, weight, operator, message, capacity)
    guarded(message, capacity, refusal(model, scheme, bytes)) do
        S = type_of(bytes)
        g = gradient == C_NULL ? nothing : array_at(gradient, S, D, T, windows)
        cost_gradient!(array_at(cost, Float64, 3, windows), g, array_at(x, S, D, T, windows),
                       array_at(y, S, D, T, windows), array_at(mask, S, D, T, windows),
                       scheme_of(scheme), model_of(model, p, D), h, λ₁, λ₂,
                       points_at_address(S, D, windows, count, step, fraction, value, weight, operator))
    end
end

function c_descend(model, p, D, T, windows, bytes, scheme, h, λ₁, λ₂, x, y, mask, α, iterations,
                   count, step, fraction, value, weight, operator, message, capacity)
    guarded(message, capacity, refusal(model, scheme, bytes)) do
        S = type_of(bytes)
        descend!(array_at(x, S, D, T, windows), array_at(y, S, D, T, windows),
                 array_at(mask, S, D, T, windows), scheme_of(scheme), model_of(model, p, D),
                 h, λ₁, λ₂, α, iterations,
                 points_at_address(S, D, windows, count, step, fraction, value, weight, operator))
    end
end

# `what`: 0 the step Φ(x), 1 its tangent linear applied to v, 2 its adjoint applied to v.
function c_step(model, p, D, n, scheme, h, what, x, v, out, message, capacity)
    guarded(message, capacity, refusal(model, scheme)) do
        linearised_steps!(array_at(out, Float64, D, n), array_at(x, Float64, D, n),
                          array_at(v, Float64, D, n), scheme_of(scheme), model_of(model, p, D), h, what)
    end
end

function linearised_steps!(out, x, v, scheme, m, h, what)
    ws = StepWorkspace{Vector{Float64}}(length(m))
    for j in axes(x, 2)
        out[:, j] .= linearised_step(ws, scheme, m, x[:, j], v[:, j], h, what)
    end
    return out
end

function linearised_step(_, scheme, m::SmallModel, x, v, h, what)
    x̂, stages = step(scheme, m, Tuple(x), h)
    what == 0 && return x̂
    return what == 1 ? step_tangent(scheme, m, stages, Tuple(v), h) :
           step_adjoint(scheme, m, stages, Tuple(v), h)
end
function linearised_step(ws, scheme, m::LargeModel, x, v, h, what)
    x̂ = step!(ws, scheme, m, x, h)
    what == 0 && return x̂
    return what == 1 ? step_tangent!(similar(v), ws, scheme, m, x, v, h) : step_adjoint!(ws, scheme, m, x, v, h)
end

"    entry_point(name) -> address of a function for C, which has a method of `address`"
entry_point(name::AbstractString) = UInt64(UInt(address(Val(Symbol(name)))))

address(::Val{:simulate}) = @cfunction(c_simulate, Cint, (Int64, Ptr{Float64}, Int64, Int64, Int64, Ptr{Float64}, Ptr{Float64}, Float64, Float64, Float64, Float64, Ptr{UInt8}, Int64))
address(::Val{:cost}) = @cfunction(c_cost, Cint, (Int64, Ptr{Float64}, Int64, Int64, Int64, Int64, Int64, Float64, Float64, Float64, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Float64}, Ptr{Cvoid}, Int64, Ptr{Int64}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{UInt8}, Int64))
address(::Val{:descend}) = @cfunction(c_descend, Cint, (Int64, Ptr{Float64}, Int64, Int64, Int64, Int64, Int64, Float64, Float64, Float64, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Float64, Int64, Int64, Ptr{Int64}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{UInt8}, Int64))
address(::Val{:step}) = @cfunction(c_step, Cint, (Int64, Ptr{Float64}, Int64, Int64, Int64, Float64, Int64, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Ptr{UInt8}, Int64))
