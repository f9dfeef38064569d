"""What a network was trained on."""

import numpy as np
from point_networks import left_out, passes, random_model

from pyvda.fields.learned_points.description import digests, is_of_points, read_description
from pyvda.fields.points import read


def test_a_network_knows_its_data_and_what_was_withheld(tmp_path) -> None:
    ds = passes(count=10, each=4)
    hidden = left_out(ds)
    order = np.random.default_rng(0).permutation(40)
    points, turned = read(ds, "sst"), read(ds.isel(obs=order), "sst")
    made = digests(points, "sst", hidden)
    assert digests(turned, "sst", hidden[order]) == made
    random_model(trained=made).save(tmp_path)
    assert is_of_points(tmp_path)
    described = read_description(tmp_path)
    assert not described.has_seen(turned, hidden[order])  # it has not seen what was withheld
    assert described.has_seen(points, left_out(ds, 3))
    assert described.has_seen(points, None)
    assert not described.has_seen(read(ds.assign(sst=ds.sst + 1), "sst"), None)
