import torch
import torchda
import xarray as xr


def lorenz63(state):
    x, y, z = state.unbind(-1)
    return torch.stack((10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z), -1)


def forward(state, times):  # Runge-Kutta steps; the states at all of the times
    states = [state]
    for h in times.diff():
        k1 = lorenz63(state)
        k2 = lorenz63(state + h / 2 * k1)
        k3 = lorenz63(state + h / 2 * k2)
        k4 = lorenz63(state + h * k3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        states.append(state)
    return torch.stack(states)


with xr.open_dataset("case.nc") as case:
    background, y = (torch.as_tensor(case[name].values) for name in ("background", "y"))

found = (
    torchda.CaseBuilder()
    .set_algorithm(torchda.Algorithms.Var4D)
    .set_forward_model(forward)
    .set_observation_model(lambda state: state[..., :1])
    .set_background_state(background)
    .set_background_covariance_matrix(torch.eye(3, dtype=torch.float64))
    .set_observations(y[:, None])
    .set_observation_covariance_matrix(2 * torch.eye(1, dtype=torch.float64))
    .set_observation_time_steps([0.08 * k for k in range(len(y))])
    .set_gaps([8] * (len(y) - 1))
    .set_optimizer_cls(torch.optim.Adam)
    .set_optimizer_args({"lr": 0.02})
    .set_max_iterations(300)
    .set_record_log(False)
    .execute()
)
print(found["assimilated_state"].tolist())
