import numpy as np
import pytest
import scipy.special
from gappy import COVARIANCE

from pyvda.errors import InputError
from pyvda.fields.covariance import CovarianceFile, read, shape, write


@pytest.mark.parametrize(
    ("kind", "order"), [("exponential", 0.5), ("matern32", 1.5), ("matern52", 2.5)]
)
def test_shapes_are_those_of_matern(kind, order) -> None:
    s = np.linspace(0.01, 5, 50)
    z = np.sqrt(2 * order) * s
    expected = 2 ** (1 - order) / scipy.special.gamma(order) * z**order * scipy.special.kv(order, z)
    np.testing.assert_allclose(shape(kind, s), expected, rtol=1e-10)


def test_a_file_comes_back(tmp_path) -> None:
    file = CovarianceFile(
        variables={"chl": COVARIANCE}, units={"chl": "mg m-3"}, season_days=20.0, transform="log10"
    )
    write(tmp_path / "cov.yaml", file)
    assert read(tmp_path / "cov.yaml") == file


def test_bad_files(tmp_path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read("nowhere.yaml")
    (tmp_path / "a.yaml").write_text("variables: {chl: {nugget: -1, factors: []}}")
    with pytest.raises(InputError, match=r"a\.yaml"):
        read(tmp_path / "a.yaml")
    one = "chl: {nugget: 1, factors: [{variance: 1, km: 9}]}"
    for text, message in (
        (f"variables: {{{one}, {one}}}", "the key chl occurs twice"),
        (f"variables: {{{one}}}\nunits: {{clh: mg m-3}}", "none of the variables chl"),
        (f"variables: {{{one.replace('nugget: 1', 'nugget: .inf')}}}", "finite"),
    ):
        (tmp_path / "a.yaml").write_text(text)
        with pytest.raises(InputError, match=message):
            read(tmp_path / "a.yaml")
