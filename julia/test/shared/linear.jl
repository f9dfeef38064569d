# Linear models, on which every method has a closed answer.

using LinearAlgebra, VDA

"Two components that rotate with the frequency ω while they decay at the rate d."
struct Rotation{T} <: VDA.SmallModel
    ω::T
    d::T
end
Base.length(::Rotation) = 2
@inline VDA.size_of(::Rotation) = Val(2)
VDA.retype(::Type{T}, m::Rotation) where {T} = Rotation{T}(m.ω, m.d)
@inline VDA.tendency(m::Rotation, (x₁, x₂)) = (-(m.d * x₁) - m.ω * x₂, m.ω * x₁ - m.d * x₂)
@inline VDA.tangent_linear(m::Rotation, x, δ) = VDA.tendency(m, δ)
@inline VDA.adjoint(m::Rotation, x, (v₁, v₂)) = (m.ω * v₂ - m.d * v₁, -(m.ω * v₁) - m.d * v₂)

"D components on a circle, carried along at the speed a while they decay at the rate d."
struct Transport{T} <: VDA.LargeModel
    a::T
    d::T
    D::Int
end
Base.length(m::Transport) = m.D
VDA.retype(::Type{T}, m::Transport) where {T} = Transport{T}(m.a, m.d, m.D)
@inline VDA.each_place(f::F, m::Transport) where {F} = VDA.each_place(f, Lorenz96(0.0, m.D))
@inline VDA.tendency(m::Transport, x, s) = m.a * (x[s.l] - x[s.r]) - m.d * x[s.i]
@inline VDA.tangent_linear(m::Transport, x, δ, s) = VDA.tendency(m, δ, s)
@inline VDA.adjoint(m::Transport, x, v, s) = m.a * (v[s.r] - v[s.l]) - m.d * v[s.i]

"The matrix of the tendency."
matrix(m::Rotation) = [-m.d -m.ω; m.ω -m.d]
function matrix(m::Transport)
    A = Matrix(-m.d * I, m.D, m.D)
    for i in 1:m.D
        A[i, mod1(i - 1, m.D)] += m.a
        A[i, mod1(i + 1, m.D)] -= m.a
    end
    return A
end

"The matrix of one Runge-Kutta step: the exponential's series to fourth order, by Horner's rule."
function step_matrix(m, h)
    A = h .* matrix(m)
    one = Matrix{Float64}(I, size(A))
    M = one
    for k in 4:-1:1
        M = one .+ A * M ./ k
    end
    return M
end

"M^k"
function power(M, k)
    P = Matrix{Float64}(I, size(M))
    for _ in 1:k
        P = P * M
    end
    return P
end

const LINEAR = (Rotation(2.0, 0.3), Transport(1.5, 0.2, 11))
