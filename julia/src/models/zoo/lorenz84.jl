"""
    Lorenz84(a, b, F, G)

The westerly current x and the two phases y, z of a large wave. Lorenz, E. N. (1984): Irregularity: a
fundamental property of the atmosphere. Tellus 36A, 98-110; a = 1/4, b = 4, F = 8, G = 1.
"""
struct Lorenz84{T} <: SmallModel
    a::T
    b::T
    F::T
    G::T
end
Lorenz84(; a = 0.25, b = 4.0, F = 8.0, G = 1.0) = Lorenz84(a, b, F, G)
variables(::Type{<:Lorenz84}) = ("x", "y", "z")
time_step(::Type{<:Lorenz84}) = 0.05

@inline tendency(m::Lorenz84, (x, y, z)) =
    (-(y * y) - z * z - m.a * (x - m.F), x * y - m.b * x * z - y + m.G, m.b * x * y + x * z - z)

@inline tangent_linear(m::Lorenz84, (x, y, z), (dx, dy, dz)) = (
    -2 * (y * dy + z * dz) - m.a * dx,
    (y - m.b * z) * dx + (x - 1) * dy - m.b * x * dz,
    (m.b * y + z) * dx + m.b * x * dy + (x - 1) * dz,
)

@inline adjoint(m::Lorenz84, (x, y, z), (u, v, w)) = (
    (y - m.b * z) * v + (m.b * y + z) * w - m.a * u,
    (x - 1) * v + m.b * x * w - 2 * y * u,
    (x - 1) * w - m.b * x * v - 2 * z * u,
)

@inline parameter_tangent(m::Lorenz84, (x, y, z), (da, db, dF, dG)) =
    (-da * (x - m.F) + m.a * dF, dG - db * x * z, db * x * y)

@inline parameter_adjoint(m::Lorenz84, (x, y, z), (u, v, w)) = (-u * (x - m.F), x * (y * w - z * v), m.a * u, v)
