# Multiple shooting of one window of a large model: against the cost written out, its gradient by differences, and no allocations.

include("../shared/shooting.jl")

@testset "gradient with nodes apart, $(name(Lorenz96(8.0, 13))), Q a $form" for form in ("number", "matrix")
    expect_gradient_of_the_cost(Lorenz96(8.0, 13), form)
end

@testset "no allocation within an iteration, $(name(PAPER[2]))" begin
    expect_no_allocation(PAPER[2])
end
