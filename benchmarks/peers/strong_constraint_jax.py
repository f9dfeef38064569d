"""Strong-constraint 4D-Var as a careful user of JAX would write it; benchmarks/peers.py runs it.

    .venv-peers/bin/python benchmarks/peers/strong_constraint_jax.py SETTING OBSERVATIONS OUT

From `lorenz63` to `minimise` is the user's code: Runge-Kutta 4 under lax.scan, jacfwd through it,
Levenberg-Marquardt on the window grown piece by piece, a Gaussian background, all of it under vmap
over a block of windows. The rest spreads the blocks over the cores and takes the time. What jit
compiles (once for each length of the window: with static shapes the short ones cost less) is
compiled before, and that time is kept apart. Everything is float64.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import lax

jax.config.update("jax_enable_x64", True)


def lorenz63(x):
    return jnp.stack(
        [10.0 * (x[1] - x[0]), x[0] * (28.0 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]]
    )


def lorenz96(x):
    return (jnp.roll(x, -1) - jnp.roll(x, 2)) * jnp.roll(x, 1) - x + 8.0


def trajectory(f, h, x0, steps):
    def advance(x, _):
        k1 = f(x)
        k2 = f(x + h / 2 * k1)
        k3 = f(x + h / 2 * k2)
        k4 = f(x + h * k3)
        return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), x

    return lax.scan(advance, x0, None, length=steps)[1]


def minimise(f, h, background, root, at, of, iterations, tolerance, x0, y, weight):
    """Return the minimum of |root (x0 - background)|² + |weight (x(at)[of] - y)|² and its value."""

    def residual(x0):
        x = trajectory(f, h, x0, at[-1] + 1)[at][:, of]
        r = jnp.concatenate([root @ (x0 - background), jnp.ravel(weight * (x - y))])
        return r, r

    def evaluate(x0):
        jacobian, r = jax.jacfwd(residual, has_aux=True)(x0)
        return r @ r, jacobian.T @ r, jacobian.T @ jacobian

    def unfinished(s):
        return (s[5] < iterations) & (s[6] > tolerance)

    def iterate(s):
        x0, cost, g, H, damping, k, _ = s
        factor = jax.scipy.linalg.cho_factor(H + damping * jnp.diag(jnp.diag(H)))
        step = jax.scipy.linalg.cho_solve(factor, g)
        new = evaluate(x0 - step)
        better = new[0] < cost
        kept = [jnp.where(better, a, b) for a, b in zip((x0 - step, *new), s[:4], strict=True)]
        damping = jnp.where(better, damping / 10, jnp.maximum(damping * 10, 1e-3))
        # What the cost can still fall by: neither a step that failed nor a short one is an end.
        fall = jnp.where(better | (g @ step < 1e-12 * cost), g @ step, jnp.inf)
        return *kept, damping, k + 1, fall

    s = lax.while_loop(unfinished, iterate, (x0, *evaluate(x0), 0.0, 0, jnp.inf))
    return s[0], s[1]


def main() -> None:
    setting_path, observations_path, out = sys.argv[1:]
    setting = np.load(setting_path)
    f = {"lorenz63": lorenz63, "lorenz96": lorenz96}[str(setting["model"])]
    h, growth, cores = float(setting["time_step"]), int(setting["growth"]), int(setting["cores"])
    block, repeats = int(setting["block"]), int(setting["repeats"])
    with xr.open_dataset(observations_path) as ds:
        observation = ds["observation"].values[: int(setting["windows"])]
        deviation = np.sqrt(ds.attrs["observation_error_variance"])
    windows, steps, _ = observation.shape
    seen = np.isfinite(observation)
    at = np.flatnonzero(seen.any((0, 2)))
    components = np.flatnonzero(seen.any((0, 1)))
    chosen = np.ix_(range(windows), at, components)
    y, weight = np.nan_to_num(observation[chosen]), seen[chosen] / deviation
    short = -windows % block  # the last block is filled up: another size would compile again
    y, weight = (np.concatenate([a, np.repeat(a[-1:], short, 0)]) for a in (y, weight))
    background = setting["mean"]
    root = np.linalg.cholesky(np.linalg.inv(setting["covariance"])).T
    # A window that is still to grow needs no more digits than the next piece will change.
    lengths = [n for n in range(growth, at[-1] + 1, growth) if (at < n).any()] + [steps]
    solvers = []
    for n in lengths:
        there = at[at < n]
        limit, tolerance = (100, 1e-8) if n == steps else (30, 0.1)
        solve = partial(minimise, f, h, background, root, there, components, limit, tolerance)
        solvers.append((len(there), jax.jit(jax.vmap(solve) if block > 1 else solve)))
    follow = partial(trajectory, f, h, steps=steps)
    follow = jax.jit(jax.vmap(follow) if block > 1 else follow)

    def assimilate(first):
        rows = slice(first, first + block) if block > 1 else first
        x0 = np.broadcast_to(background, (block, len(background)))[slice(None) if block > 1 else 0]
        for data, solve in solvers:
            x0, cost = solve(x0, y[rows, :data], weight[rows, :data])
        return np.asarray(follow(x0)), np.asarray(cost)

    start = time.perf_counter()
    assimilate(0)
    first_call = time.perf_counter() - start
    seconds, core_seconds = [], []
    for _ in range(repeats):
        start, used = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(cores) as pool:
            found = list(pool.map(assimilate, range(0, windows, block)))
        seconds.append(time.perf_counter() - start)
        core_seconds.append(time.process_time() - used)
    x = np.concatenate([np.reshape(x, (-1, steps, len(background))) for x, _ in found])[:windows]
    cost = np.concatenate([np.ravel(cost) for _, cost in found])[:windows]
    np.savez(
        out, analysis=x, objective=cost / 2, seconds=seconds, core_seconds=core_seconds,
        first_call=first_call,
        version=f"jax {version('jax')}",
    )  # fmt: skip


if __name__ == "__main__":
    main()
