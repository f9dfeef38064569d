"""Models in Julia that several tests write into files."""

ADVECTION = """
struct Advection{T} <: VectorModel
    speed::T
    n::Int
end
Advection(; speed = 1.2, n = 8) = Advection(speed, n)
variables(::Type{<:Advection}) = ("u",)
dimensions(m::Advection) = (x = m.n,)
time_step(::Type{<:Advection}) = 0.05
function tendency!(dx, m::Advection, x, work)
    for i in 1:m.n
        dx[i] = m.speed * (x[mod1(i - 1, m.n)] - x[i])
    end
end
tangent_linear!(dy, m::Advection, x, dx, work) = tendency!(dy, m, dx, work)
function adjoint!(xbar, m::Advection, x, ybar, work)
    for i in 1:m.n
        xbar[i] = m.speed * (ybar[mod1(i + 1, m.n)] - ybar[i])
    end
end
"""
