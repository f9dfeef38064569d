"""Tables in text files, as spreadsheets, instruments and people write them, are the same table."""

import numpy as np
import pandas as pd
import pytest

import pyvda
from pyvda.io.tables.frames import dataset
from pyvda.io.tables.text_tables import read
from pyvda.notices import Notice

TABLE = pd.DataFrame(
    {
        "time": np.repeat([0.0, 0.25, 0.5], 3),
        "component": list("xyz") * 3,
        "value": np.linspace(-1.5, 2.5, 9),
        "station": ["A"] * 9,
    }
)
PLAIN = TABLE.to_csv(index=False)
SPELLINGS = {
    "plain": PLAIN,
    "semicolons": TABLE.to_csv(index=False, sep=";"),
    "decimal commas": TABLE.to_csv(index=False, sep=";", decimal=","),
    "remarks": "# made by a mooring\n# time in days, 1.5\n" + PLAIN,
    "a mark of UTF-8": "\ufeff" + PLAIN,
    "carriage returns": PLAIN.replace("\n", "\r\n"),
    "spaces": PLAIN.replace(",", " , "),
    "capitals": PLAIN.replace("component", "COMPONENT").replace("value", "Value"),
    "quoted": TABLE.to_csv(index=False, quoting=1),
    "tabs": TABLE.to_csv(index=False, sep="\t"),
    "columns of spaces": PLAIN.replace(",", "   "),
    "a separator at the end of each row": PLAIN.replace("\n", ",\n", 1).replace("A\n", "A,\n"),
    "blank lines and remarks between rows": "\n" + PLAIN.replace("A\n", "A\n\n# moved\n", 2),
    "row numbers of R": "time,component,value,station\n"
    + "".join(f"{n},{row}\n" for n, row in enumerate(PLAIN.splitlines()) if n),
    "a row of units": PLAIN.replace("station\n", "station\ndays,,K,name\n"),
    "names in a remark": "# mooring 7\n# " + PLAIN.replace("station\n", "station\n# d - K -\n"),
    "exponents of Fortran": PLAIN.replace("-1.5,", "-0.15D+01,"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_the_same_table(tmp_path, spelling):
    path = tmp_path / "a.csv"
    path.write_bytes(SPELLINGS[spelling].encode())
    found = dataset(read(path), "the table")
    assert {"component", "value"} <= set(found.variables)
    np.testing.assert_allclose(found["value"], TABLE["value"])
    observed = pyvda.open_observations(path, grid_step=0.25, model=pyvda.get_model("lorenz63"))
    np.testing.assert_allclose(observed.observation, TABLE["value"].to_numpy().reshape(3, 3))


def test_letters_of_latin_1(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(PLAIN.replace("A", "Malm\u00f6").encode("latin-1"))
    assert set(read(path)["station"]) == {"Malm\u00f6"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty, expected the names of columns"),
        ("\n \n", "is empty"),
        ("time,x\n0.0,1.5,2.5\n0.1,1.6,2.6\n", "more fields than there are names of columns"),
        (PLAIN + "1,x,2,A,5,6\n", "is no table with as many fields in each row as in the first"),
        (PLAIN.partition("\n")[2], "has the number 0.0, expected the names of the columns"),
        (PLAIN.replace("-1.0", "n/d"), "has the text 'n/d' in row 1 of the column 'value'"),
        (PLAIN.replace("-1.0", "4.5 m"), "has the text '4.5 m' in row 1"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused_by_the_command(
    tmp_path, monkeypatch, capsys, text, message
):
    from tests.command_line import run

    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text(text)
    assert run(monkeypatch, "assimilate", "a.csv", "--model", "lorenz63", "-o", "b.nc") == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert "\n" not in said


def test_a_column_of_text_is_none_of_numbers():
    names = TABLE.assign(station=["a", "b", "7", "8", "9", "10", "11", "12", "13"])
    assert list(dataset(names, "the table")["station"].values) == list(names["station"])


def test_numbers_that_are_text_or_objects():
    for kind in (str, object):
        found = dataset(TABLE.astype({"value": kind}), "the table")
        np.testing.assert_allclose(found["value"], TABLE["value"])


def test_rows_without_a_value_are_times_of_the_analysis():
    """A long table of a whole series, as `to_dataframe` makes it, is the series."""
    values = np.full((13, 3), np.nan)
    values[::4] = np.arange(12.0).reshape(4, 3)
    time = 0.01 * np.arange(13)
    table = pd.DataFrame(
        {"time": np.repeat(time, 3), "component": list("xyz") * 13, "value": values.ravel()}
    )
    found = pyvda.open_observations(table, model=pyvda.get_model("lorenz63"))
    np.testing.assert_allclose(found.time, time)
    np.testing.assert_array_equal(found.observation, values)
    observed = table[table["value"].notna()]  # what is left has the step of the data
    found = pyvda.open_observations(observed, model=pyvda.get_model("lorenz63"))
    np.testing.assert_allclose(found.time, time[::4])
    odd = pd.concat([table, table.assign(time=table["time"] + 0.003, value=np.nan)])
    found = pyvda.open_observations(odd, model=pyvda.get_model("lorenz63"))
    np.testing.assert_allclose(found.time, time[::4])


@pytest.mark.parametrize(
    ("separator", "written", "expected", "said"),
    [
        (",", ['"1,353.12"', "456.1"], [1353.12, 456.1], ""),
        (";", ["1,353.12", "-1,234,567"], [1353.12, -1234567], ""),
        (";", ["1.353,12", "456,1"], [1353.12, 456.1], ""),
        (";", ["0,353", "1,353"], [0.353, 1.353], ""),
        (";", ["2,353", "1,353"], [2.353, 1.353], "numbers such as 2,353 are read as 2.353"),
        (";", ["2,353", "456"], [2353, 456], "numbers such as 2,353 are read as 2353"),
        (";", ["1.353,5", "2.353", "4,5"], [1353.5, 2353, 4.5], ""),
        (",", ['"2,353"', '"1,353"'], [2353, 1353], "numbers such as 2,353 are read as 2353"),
    ],
)
def test_commas_and_points_in_numbers(tmp_path, recwarn, separator, written, expected, said):
    path = tmp_path / "a.csv"
    rows = [separator.join(["time", "x"]), *(f"{n}{separator}{w}" for n, w in enumerate(written))]
    path.write_text("\n".join(rows))
    np.testing.assert_allclose(read(path)["x"], expected)
    notices = [str(one.message) for one in recwarn]
    assert len(notices) == bool(said)
    assert all(one.startswith(said) for one in notices)


@pytest.mark.parametrize("word", ["MM", "-", "***", "missing", "NA", ""])
def test_words_for_what_is_missing(tmp_path, word):
    path = tmp_path / "a.csv"
    path.write_text(PLAIN.replace("-1.0", word))
    np.testing.assert_allclose(read(path)["value"], TABLE["value"].where(TABLE["value"] != -1.0))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.dat"])
def test_text_under_other_names(tmp_path, encoding, name):
    path = tmp_path / name
    path.write_text(PLAIN, encoding=encoding)
    observed = pyvda.open_observations(path, grid_step=0.25, model=pyvda.get_model("lorenz63"))
    np.testing.assert_allclose(observed.observation, TABLE["value"].to_numpy().reshape(3, 3))


def test_the_files_of_buoys(tmp_path):
    path = tmp_path / "46042.txt"
    rows = [f"2001 03 01 {hour:02} 30 {hour + 0.5} MM {-hour}" for hour in range(6)]
    head = ["#YY  MM DD hh mm  x  y  z", "#yr  mo dy hr mn  m  m  m"]
    path.write_text("\n".join([*head, *rows]))
    with pytest.warns(Notice, match="made of the columns YY, MM, DD, hh, mm"):
        found = pyvda.open_observations(path, model=pyvda.get_model("lorenz63"))
    times = np.datetime64("2001-03-01T00:30") + np.arange(6) * np.timedelta64(1, "h")
    np.testing.assert_array_equal(found.time, times)
    hours = np.arange(6.0)
    expected = np.stack([hours + 0.5, np.full(6, np.nan), -hours], -1)
    np.testing.assert_array_equal(found.observation, expected)


def test_commas_beside_decimal_points_separate_thousands(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("time;x\n0.5;1,353\n1.0;2,353\n")
    with pytest.warns(Notice, match="numbers such as 1,353 are read as 1353"):
        np.testing.assert_array_equal(read(path)["x"], [1353, 2353])


def test_a_first_row_of_data_is_no_row_of_units(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("time,x\n2001-01-01,bad\n2001-01-02,1.5\n2001-01-03,1.6\n")
    assert read(path)["x"].iloc[0] == "bad"  # which is then named
