# Lorenz (1996) as a user would write it.
struct MyLorenz96{T} <: LargeModel
    F::T
    D::Int
end
MyLorenz96(; F = 8.0, D = 40) = MyLorenz96(F, D)
time_step(::Type{<:MyLorenz96}) = 0.05
dimensions(m::MyLorenz96) = (site = m.D,)
tendency(m::MyLorenz96, x, s) = (x[s.r] - x[s.ll]) * x[s.l] - x[s.i] + m.F
tangent_linear(m::MyLorenz96, x, dx, s) =
    (dx[s.r] - dx[s.ll]) * x[s.l] + (x[s.r] - x[s.ll]) * dx[s.l] - dx[s.i]
adjoint(m::MyLorenz96, x, v, s) =
    x[s.ll] * v[s.l] - x[s.r] * v[s.rr] + (x[s.rr] - x[s.l]) * v[s.r] - v[s.i]
