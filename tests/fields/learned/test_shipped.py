import pytest
from field_models import random_model
from gappy import field

from pyvda.errors import InputError
from pyvda.fields.learned import shipped


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
