import json

import pytest
from command_line import run
from field_models import random_model
from gappy import field

from pyvda.errors import InputError
from pyvda.fields.learned import shipped
from pyvda.fields.learned.shipping import Twin, scored

NAMES = shipped.names()


@pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
def test_a_folder_wins_over_a_name_and_anything_else_is_refused(tmp_path) -> None:
    assert not shipped.is_known(tmp_path)
    random_model(field()[0]).save(tmp_path)
    assert shipped.is_known(tmp_path)
    assert shipped.field_folder(tmp_path) == tmp_path
    for name in shipped.names():
        assert shipped.is_known(name)
    with pytest.raises(InputError, match="there is no network 'nonsense'"):
        shipped.field_folder("nonsense")


def test_there_are_shipped_networks() -> None:
    assert NAMES


def test_info_names_them(monkeypatch, capsys) -> None:
    assert run(monkeypatch, "info", "--engine", "torch") == 0
    rows = capsys.readouterr().out.splitlines()
    assert f"for fields {', '.join(NAMES)}" in rows


@pytest.mark.julia
@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_network_scores_what_is_stored(name) -> None:
    stored = json.loads((shipped.FOLDER / name / "scores.json").read_text("utf-8"))
    found = scored(shipped.FOLDER / name, Twin(**stored["twin"]))
    assert found["rmse"] == pytest.approx(stored["rmse"], rel=1e-3)
