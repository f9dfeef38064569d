# Observation functions of files: values, derivatives by dual numbers against differences, wrong ones.
using Test, VDA

const TEXT = "observe((x, y)) = (x^2 * y, sin(x) + abs(y), 3x)\n"
const RIGHT = "observe_adjoint((x, y), (a, b, c)) = (2x * y * a + cos(x) * b + 3c, x^2 * a + sign(y) * b)\n"

function_of(text, file = "observe.jl") =
    (found = VDA.register_observation(text, file); found isa Int ? VDA.OBSERVATION_FUNCTIONS[found] : found)
checked(f, K) = Base.invokelatest(VDA.check_observation, f, X, K)
const X = [0.3 -1.2 2.0; -0.7 0.4 1.1]

@testset "observation functions" begin
    h((x, y)) = [x^2 * y, sin(x) + abs(y), 3x]
    for text in (TEXT, TEXT * RIGHT)
        f = function_of(text)
        @test checked(f, 3) === nothing
        (values, rows) = (zeros(3, 3), zeros(2, 3, 3))
        @test Base.invokelatest(VDA.observed_values!, values, f, X) === nothing
        @test Base.invokelatest(VDA.observation_rows!, rows, f, X) === nothing
        for n in 1:3
            @test values[:, n] ≈ h(X[:, n])
            for i in 1:2
                e = [1e-6 * (i == k) for k in 1:2]
                @test rows[i, :, n] ≈ (h(X[:, n] + e) - h(X[:, n] - e)) / 2e-6 rtol = 1e-7
            end
        end
    end
    A = [1.0 0.5 0.0; -2.0 1.0 0.3; 0.0 0.0 4.0]
    @testset "Hᵀ Aᵀ c (A h(x) - y), $(text == TEXT ? "by dual numbers" : "by the adjoint")" for text in (TEXT, TEXT * RIGHT), given in (nothing, A)
        back! = Base.invokelatest(VDA.pullback, function_of(text), 2, 3, given)
        (y, c, g) = ([0.5, -1.0, 2.0], [1.0, 0.0, 3.0], zeros(2))
        for n in 1:3
            @test Base.invokelatest(back!, g, X[:, n], y, c) === nothing
            J(x) = sum(c .* ((given === nothing ? h(x) : given * h(x)) .- y) .^ 2) / 2
            @test g ≈ [(J(X[:, n] + 1e-6 * e) - J(X[:, n] - 1e-6 * e)) / 2e-6 for e in ([1, 0], [0, 1])] rtol = 1e-6
        end
    end
    counted(text, D = 2) = (out = zeros(1); said = Base.invokelatest(VDA.observed_count!, out, function_of(text), ones(D)); said === nothing ? out[1] : said)
    @test counted(TEXT) == 3
    @test counted("observe!(y, x) = nothing\nobserve_count(D) = 2D\n", 4) == 8
    @test occursin("define observe_count(D)", counted("observe!(y, x) = nothing\n"))
    @test VDA.register_observation(TEXT, "observe.jl") == VDA.register_observation(TEXT, "observe.jl")
    @test occursin("observed value 2 by component 2", checked(function_of(TEXT * replace(RIGHT, "sign(y)" => "y")), 3))
    @test checked(function_of(TEXT), 2) == "observe(x) returns 3 values, expected 2"
    @test occursin("does not define observe(x)", function_of("look(x) = x\n", "other.jl"))
    @test startswith(function_of("\nobserve(x) = (\n", "other.jl"), "other.jl:2: ")
end
