"""Models in a Python file of the user's own: found, changed, refused with the file's line."""

import sys

import pytest

from pyvda.errors import InputError
from pyvda.models.from_file import executed_once, from_file
from pyvda.models.registry import resolve

FILE = """
import torch
import pyvda

def rossler(x, a, b, c):
    u, v, w = x.unbind(-1)
    return torch.stack((-v - w, u + a * v, b + w * (u - c)), -1)

model = pyvda.torch_model(
    rossler, variables=("x", "y", "z"), time_step=0.05, parameters={"a": 0.2, "b": 0.2, "c": 5.7}
)

def with_size(n=4):
    return pyvda.torch_model(
        lambda x: -x, variables=("x",), dimensions={"i": int(n)}, time_step=0.1, name="decay"
    )

number = 3
"""


def test_models_of_a_python_file(tmp_path) -> None:
    path = tmp_path / "models.py"
    path.write_text(FILE)
    model = resolve(f"{path}:model", {"c": "6.0"})
    assert (model.name, model.parameters) == ("rossler", (0.2, 0.2, 6.0))
    assert model.torch.digest
    assert resolve(f"{path}:with_size", {"n": "7"}).state_size == 7
    path.write_text(FILE.replace("0.05", "0.02"))
    assert resolve(f"{path}:model").time_step == 0.02
    for word, said in [
        (f"{path}:nothing", "no model 'nothing', found model"),
        (f"{path}:number", "is a int"),
        (f"{path}", "name one, as in"),
        (f"{path}:model:x", "no file|unknown model"),
        (f"{tmp_path}/other.py:model", "there is no file"),
    ]:
        with pytest.raises(InputError, match=said):
            resolve(word)
    with pytest.raises(InputError, match="unknown parameter for rossler: found d"):
        resolve(f"{path}:model", {"d": "1"})
    with pytest.raises(InputError, match="c is 'many', expected a number"):
        resolve(f"{path}:model", {"c": "many"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = (", r"line 1: "),
        ("import torch\n\nx = 1 / 0", r"models.py, line 3: ZeroDivisionError"),
        ("import sys\nsys.exit(3)", r"models.py, line 2: SystemExit: 3"),
        ("import no_such_module_at_all", r"line 1: ModuleNotFoundError"),
    ],
)
def test_an_error_in_a_file_names_its_line(tmp_path, text, said) -> None:
    path = tmp_path / "models.py"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        resolve(f"{path}:model")


def test_a_file_leaves_nothing_behind(tmp_path) -> None:
    (tmp_path / "beside.py").write_text("rate = 0.5\n")
    path = tmp_path / "models.py"
    path.write_text(
        "import beside, pyvda\n"
        "model = pyvda.torch_model(lambda x: -beside.rate * x, variables=('x',), time_step=0.1)\n"
    )
    before = list(sys.path)
    model = from_file(path, "model")
    sys.modules.pop("beside")
    assert sys.path == before
    assert not [name for name in sys.modules if name.startswith("_pyvda_models")]
    assert not model.torch.complete  # the file beside it may change


def test_the_digest_is_that_of_text_name_and_parameters(tmp_path) -> None:
    path = tmp_path / "models.py"
    path.write_text(FILE)
    usual = from_file(path, "model")
    assert usual.torch.complete
    assert from_file(path, "model").torch.digest == usual.torch.digest
    others = {from_file(path, "model", {"c": 6.0}).torch.digest}
    path.write_text(FILE + "# changed\n")
    others.add(from_file(path, "model").torch.digest)
    assert len(others | {usual.torch.digest}) == 3
    assert not from_file(path, "with_size").torch.complete  # a lambda within a function


def test_a_name_that_is_no_python_file_is_refused(tmp_path) -> None:
    path = tmp_path / "models.txt"
    path.write_text(FILE)
    with pytest.raises(InputError, match=r"no Python file; give one whose name ends in \.py"):
        from_file(path, "model")


def test_a_command_executes_a_file_once_unless_it_changes(tmp_path) -> None:
    path, runs = tmp_path / "models.py", tmp_path / "runs"
    path.write_text(FILE + f"open({str(runs)!r}, 'a').write('x')\n")
    with executed_once():
        first = resolve(f"{path}:model")
        assert resolve(f"{path}:model", {"a": 0.3}).parameters[0] == 0.3
        assert first.parameters[0] == 0.2
        assert runs.read_text() == "x"
        path.write_text(path.read_text() + "number = 4\n")
        resolve(f"{path}:model")
        assert runs.read_text() == "xx"
    resolve(f"{path}:model")
    assert runs.read_text() == "xxx"
