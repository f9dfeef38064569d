# What follows the features of a scale, and its pullback, against the definition.

include("../shared/genn_scales.jl")

@testset "$grid, factor $factor" for (grid, features, latent, factor) in SCALES
    Random.seed!(features)
    memory = VDA.Memory{Float64}()
    s, _, M, O = scale(memory, grid, features, latent, factor)
    room = VDA.ScaleRoom(memory, s, STEPS, false)
    (n, y_size) = (min(room.stretch, room.positions), VDA.outputs(s))
    numbers(panel) = [unsafe_load(VDA.row(panel, i), k) for i in 0:n-1, k in 1:y_size]

    # The head and its pullback at positive features, where the ReLU is the identity.
    head(r) = latent == 0 ? [r' * M[:, (k-1)*features+1:k*features] * r / 2 + O[:, k]' * r for k in 1:y_size] :
              let m = M' * r
                  O' * (m[1:latent] .* m[latent+1:2latent]) + m[2latent+1:end]
              end
    r = rand(n, features) .+ 0.1
    v = randn(n, y_size)
    GC.@preserve memory begin
        for i in 1:n
            foreach(f -> unsafe_store!(VDA.row(room.r, i - 1), r[i, f], f), 1:features)
            foreach(k -> unsafe_store!(VDA.row(room.v, i - 1), v[i, k], k), 1:y_size)
        end
        VDA.mix!(room.m, VDA.entries(room, room.r), s, n)
        VDA.value!(room, s, 0, n)
        VDA.reverse!(room, s, 0, n)
        for i in 1:n
            @test numbers(room.y)[i, :] ≈ head(r[i, :])
            h = 1e-5
            slope = [(dot(v[i, :], head(r[i, :] + h * e)) - dot(v[i, :], head(r[i, :] - h * e))) / 2h for e in eachcol(Matrix(1.0I, features, features))]
            found = [unsafe_load(VDA.row(room.a_back, i - 1), f) for f in 1:features]
            @test found ≈ slope rtol = 1e-6
        end
    end
end
