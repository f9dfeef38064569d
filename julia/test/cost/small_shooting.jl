# Multiple shooting of small models: against the cost written out, its gradient by differences, and no allocations.

include("../shared/shooting.jl")

@testset "gradient with nodes apart, $(name(PAPER[1])), Q a $form" for form in ("number", "matrix")
    expect_gradient_of_the_cost(PAPER[1], form)
end

@testset "no allocation within an iteration, $(name(PAPER[1]))" begin
    expect_no_allocation(PAPER[1])
end
