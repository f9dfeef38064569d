# The sine transform of eight rows, against a product with the matrix of sines.

include("../shared/exceptions.jl")
using LinearAlgebra, Test, VDA

"The transforms of the rows (8, N - 1)."
function transformed(N, rows)
    memory = VDA.Memory{Float64}()
    s = VDA.SineTransform(memory, N)
    panel = VDA.packed!(memory, hcat(rows, fill(NaN, 8)))       # what stands at the place N is not read
    out = zeros(8, N)
    GC.@preserve memory begin
        VDA.load_rows!(s, panel.at, panel.stride)
        VDA.sine_modes!(s)
        for x in 0:8:N-8
            modes = VDA.modes_in_rows(s, x)
            for i in 1:8, j in 1:8
                out[i, x+j] = VDA.lane(modes[i], j)
            end
        end
    end
    @test all(iszero, out[:, N])
    return out[:, 1:N-1] ./ 4
end

@testset "sine transform of $N points" for N in (8, 16, 32, 64, 256, 1024)
    rows = [cos(7i + j^2) + 1 / j for i in 1:8, j in 1:N-1]
    sines = [sinpi(j * k / N) for j in 1:N-1, k in 1:N-1]
    found = transformed(N, rows)
    @test norm(found - rows * sines) < 1e-13 * norm(rows * sines)
    @test norm(transformed(N, found) - N / 2 .* rows) < 1e-13 * norm(N / 2 .* rows)
    other = [sin(i + 3j) for i in 1:8, j in 1:N-1]
    @test dot(found, other) ≈ dot(rows, transformed(N, other)) rtol = 1e-13
end
