import numpy as np
import pytest

from facegan import published, report, tables


@pytest.mark.parametrize(
    "measure, table", [("mse", published.EGGAN_TABLE1_MSE), ("pcc", published.EGGAN_TABLE1_PCC)]
)
def test_published_averages_are_the_mean_of_the_published_aus(measure, table):
    """A digit copied wrongly would show: the paper's averages are plain means, to two places."""
    for name, values in table.items():
        printed = published.EGGAN_TABLE1_AVERAGE[name][measure == "pcc"]
        assert len(values) == 17
        assert abs(np.mean(values) - printed) < 0.0055, name


def test_markdown_table_is_aligned_and_checked():
    text = tables.markdown_table(["", "value"], [["a", "1.00"], ["longer", "–"]])
    lines = text.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].replace(" ", "") == "|--------|------:|"
    with pytest.raises(ValueError, match="3 cells under a header of 2"):
        tables.markdown_table(["", "value"], [["a", "b", "c"]])


def test_what_could_not_be_measured_is_a_dash():
    assert tables.number(None) == tables.number(float("nan")) == "–"
    assert tables.number(0.125, 1) == "0.1" and tables.number(97.041) == "97.04"


def test_published_rows_carry_their_data_set():
    rows = report.eggan_published_rows("mse")
    assert [row[0] for row in rows] == [
        f"{n} (published, RaFD)" for n in ("HomoInterpGAN", "StarGAN", "EGGAN")
    ]
    assert rows[2][1:4] == ["0.13", "0.13", "0.49"] and rows[2][-1] == "0.24"
