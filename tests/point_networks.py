"""Networks for data at points, their data and small configurations, for tests."""

import numpy as np
import torch
import xarray as xr
from gappy import COVARIANCE, drawn_passes

from pyvda.fields.learned_points.configuration import NeighboursSettings, PointConfiguration
from pyvda.fields.learned_points.model import PointModel
from pyvda.fields.learned_points.network import NeighbourNetwork
from pyvda.validation_errors import validated

SETTINGS = NeighboursSettings(kind="neighbours", data=6, hidden=8, dropout=0.0, members=3)


def random_network(settings=SETTINGS, seed=0):
    """Return a network whose corrections are not zero."""
    torch.manual_seed(seed)
    network = NeighbourNetwork(settings).eval()
    with torch.no_grad():
        network.last.weight.normal_()
    return network


def random_model(seed=0, **more):
    """Return a model with such a network."""
    about = {
        "network": SETTINGS, "variable": "sst", "units": "degC", "transform": None,
        "covariance": COVARIANCE, "around_map": False, "local_variance": False, "nearest": 6,
        "nearest_other": 2, "within_days": 10.0, "group_days": 5.0, "combination": (),
        "unit_km": 50.0, "reach": 4.0, "scores": None, "corrects": True, "trained": {},
    } | more  # fmt: skip
    model = PointModel(about)
    model.network.load_state_dict(random_network(seed=seed).state_dict())
    return model.eval()


def passes(count=40, each=12, seed=0, steady=False):
    """Return passes on a plane as a Dataset, a row a datum.

    They are drawn from COVARIANCE, or observe a pattern that does not change in time.
    """
    rows = drawn_passes(count, each, seed=seed)
    if steady:
        x, y = rows.places.map.T / 60
        error = 0.1 * np.random.default_rng(seed).normal(size=len(x))
        rows = rows._replace(value=2 * np.cos(x) * np.cos(y) + error)
    columns = {"sst": rows.value + 15, "pass_id": rows.track}
    ds = xr.Dataset(
        {name: ("obs", one) for name, one in columns.items()},
        {
            "time": ("obs", rows.days, {"units": "days"}),
            "y": ("obs", rows.places.map[:, 1], {"units": "km", "axis": "Y"}),
            "x": ("obs", rows.places.map[:, 0], {"units": "km", "axis": "X"}),
        },
    )
    return ds.assign(sst=ds.sst.assign_attrs(units="degC"))


def scaled(scale):
    """Return COVARIANCE with other lengths and times, as the contents of a file."""
    factors = tuple(
        one.model_copy(update={"km": scale * one.km, "days": scale * one.days})
        for one in COVARIANCE.factors
    )
    covariance = COVARIANCE.model_copy(update={"factors": factors})
    return {"variables": {"sst": covariance.as_dict()}}


def configuration(observations, scale=1.0, training=None, network=None, **points):
    """Return a small training on a file."""
    contents = {
        "points": {
            "observations": str(observations), "covariance": scaled(scale), "draws": 1,
            "nearest": 6, "nearest_other": 2,
        } | points,
        "network": {"kind": "neighbours", "data": 8, "hidden": 8, "members": 3} | (network or {}),
        "optimiser": {"rate": 0.01, "warmup": 0},
        "training": {"epochs": 2, "batch_size": 64, "averaging": 0.0} | (training or {}),
    }  # fmt: skip
    return validated(PointConfiguration, contents, "here")


def batch(targets=20, count=6, seed=0):
    """Return random inputs of a network."""
    from pyvda.fields.learned_points.neighbours import FEATURES
    from pyvda.fields.learned_points.network import KNOWN, Inputs

    torch.manual_seed(seed)
    return Inputs(
        torch.randn(targets, count, FEATURES), torch.randn(targets, count),
        torch.rand(targets, count), torch.randn(targets, KNOWN), torch.rand(targets) + 0.1,
    )  # fmt: skip


def left_out(ds, every=5):
    """Return which data belong to some of the passes, (N,) of bool."""
    return np.asarray(ds.pass_id.values % every == 0)
