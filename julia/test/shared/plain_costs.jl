# Costs with the model from the paper's formulas.

"½|x₀ - b|² in B⁻¹ and ½ the misfit, with the model from the paper's formulas."
function plain_cost(m, h, y, precision, b, B⁻¹, lead, x₀)
    J = dot(x₀ - b, B⁻¹ * (x₀ - b)) / 2
    x = x₀
    for _ in 1:lead
        x = paper_step(RungeKutta4(), m, x, h)
    end
    for t in axes(y, 2)
        J += sum(precision[:, t] .* (y[:, t] .- x) .^ 2) / 2
        x = paper_step(RungeKutta4(), m, x, h)
    end
    return J
end
