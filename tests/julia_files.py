"""Models in Julia that several tests write into files."""

ROSSLER = """\
struct Rossler{T} <: SmallModel
    a::T
    b::T
    c::T
end
Rossler(; a = 0.2, b = 0.2, c = 5.7) = Rossler(a, b, c)
variables(::Type{<:Rossler}) = ("x", "y", "z")
time_step(::Type{<:Rossler}) = 0.05
tendency(m::Rossler, (x, y, z)) = (-y - z, x + m.a * y, m.b + z * (x - m.c))
"""
ROSSLER_WITH_DERIVATIVES = f"""\
{ROSSLER}\
tangent_linear(m::Rossler, (x, y, z), (dx, dy, dz)) = (-dy - dz, dx + m.a * dy, z * dx + (x - m.c) * dz)
adjoint(m::Rossler, (x, y, z), (u, v, w)) = (v + z * w, -u + m.a * v, -u + (x - m.c) * w)
"""  # noqa: E501
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
