# Lorenz (1963) as a user would write it.
struct MyLorenz63{T} <: SmallModel
    sigma::T
    rho::T
    beta::T
end
MyLorenz63(; sigma = 10.0, rho = 28.0, beta = 8 / 3) = MyLorenz63(sigma, rho, beta)
variables(::Type{<:MyLorenz63}) = ("x", "y", "z")
time_step(::Type{<:MyLorenz63}) = 0.01
tendency(m::MyLorenz63, (x, y, z)) = (m.sigma * (y - x), x * (m.rho - z) - y, x * y - m.beta * z)
tangent_linear(m::MyLorenz63, (x, y, z), (dx, dy, dz)) =
    (m.sigma * (dy - dx), (m.rho - z) * dx - dy - x * dz, y * dx + x * dy - m.beta * dz)
adjoint(m::MyLorenz63, (x, y, z), (u, v, w)) =
    ((m.rho - z) * v + y * w - m.sigma * u, m.sigma * u - v + x * w, -x * v - m.beta * w)
