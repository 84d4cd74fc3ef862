import re
import xml.etree.ElementTree as ElementTree
from html import unescape

import pytest
from PIL import Image
from small_maps import many, write_maps
from small_shifts import SMALL, network

from eval.statistics import Difference
from wsol import compare, evaluate_maps, shift
from wsol.attention_shift.run import ShiftRun
from wsol.benchmarking.failed_run import FailedRun
from wsol.benchmarking.outcome import Outcome
from wsol.benchmarking.summary import Row, Value
from wsol.cli.score_tables import print_evaluation
from wsol.report.tables import Table
from wsol.text import write_gap


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Two evaluations of the same maps, at two thresholds."""
    home = tmp_path_factory.mktemp("scored")
    data = many(30)
    write_maps(data, home / "maps")
    first = evaluate_maps(data, home / "maps", threshold=0.3, out=home / "one")
    second = evaluate_maps(data, home / "maps", threshold=0.6, out=home / "two")
    return home, first, second


def read_table(html):
    """The texts of a table's cells, row by row."""
    table = ElementTree.fromstring(re.search("<table>.*</table>", html, re.DOTALL)[0])
    return [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]


def test_an_evaluation_is_a_line_and_a_table(scored, tmp_path):
    _, first, _ = scored
    content = first.to_dict()
    assert repr(first) == (
        f"Evaluation(subject={first.subject!r}, split='test', images=30, protocol='wsoleval', "
        f"rule='fixed', threshold=0.3, max_box_acc_v2={content['max_box_acc_v2']:.1f}, "
        f"gt_known_loc={content['gt_known_loc']:.1f})"
    )
    html = first._repr_html_()
    header, *rows = read_table(html)
    assert header == ["score", "percent", "95 % interval"]
    low, high = content["intervals95"]["gt_known_loc"]
    wanted = ["GT-known Loc", f"{content['gt_known_loc']:.1f}", f"{low:.1f} - {high:.1f}"]
    assert wanted in rows
    assert "threshold 0.300, fixed" in html
    several = evaluate_maps(
        many(30), scored[0] / "maps", protocol=["wsoleval", "clean"], threshold=0.3
    )
    assert isinstance(several, list)
    assert repr(several).count("\n Evaluation(") == 1
    assert several._repr_html_().count("<table>") == 2


def test_a_notebook_is_told_what_the_terminal_is(scored, capsys):
    _, first, _ = scored
    print_evaluation(first)
    printed, html = capsys.readouterr().out, unescape(first._repr_html_())
    lines = [line.strip() for line in printed.splitlines() if line.strip() and "\u2500" not in line]
    cells = [re.split(r"\s{2,}", line) for line in lines]
    title, notes = re.findall(r"<p>(.*?)</p>", html, re.DOTALL)
    told = [re.sub("</?strong>", "", title), *notes.split("<br>\n")]
    assert [each for each in cells if len(each) == 3] == [
        row for row in read_table(html) if all(row)
    ]
    assert lines[0] == told[0]
    assert lines[-len(told) + 1 :] == told[1:]


def test_a_comparison_is_a_line_and_a_table(scored):
    home, first, second = scored
    found = compare(home / "one", home / "two")
    (comparison,) = found
    gap = comparison.differences["gt_known_loc"]
    assert gap.difference == second.result.gt_known_loc - first.result.gt_known_loc
    told = write_gap(gap.difference, gap.low, gap.high)
    assert repr(comparison) == (
        f"Comparison(first='one', second='two', images=30, gt_known_loc='{told}')"
    )
    header, *rows = read_table(found._repr_html_())
    assert header[:4] == ["score", "one", "two", "difference"]
    (row,) = [row for row in rows if row[0] == "GT-known Loc"]
    assert row[1:4] == [f"{gap.first:.1f}", f"{gap.second:.1f}", f"{gap.difference:.1f}"]
    for each in (comparison.first, comparison.first.results):
        assert len(repr(each)) < 400  # no record an image


def test_an_outcome_is_a_line_and_tables():
    def row(model, mean, difference=None):
        value = Value(mean, (mean,), (mean - 5, mean + 5), difference)
        compared = (0,) if difference else ()
        return Row(
            model, ("cam", 32), "cam", 32, "0.2", (0.2,), (0,), compared, "plain", 50,
            {"top1_loc": value},
        )  # fmt: skip

    rows = (row("plain", 40.0), row("<b>tdam", 47.0, Difference(40.0, 47.0, 3.7, 10.1)))
    failed = (FailedRun("lost", "lost", "0", "no such file"),)
    outcome = Outcome("50 images", rows, ("tdam is better",), failed, {})
    assert repr(outcome) == (
        "Outcome(title='50 images', models=['plain', '<b>tdam'], verdicts=['tdam is better'], "
        "failed=1, good=False)"
    )
    html = outcome._repr_html_()
    assert html.count("<table>") == 2
    assert "<b>" not in html
    assert "&lt;b&gt;tdam" in html
    assert "+7.0 (+3.7 to +10.1)" in html
    assert all(escaped in html for escaped in ("tdam is better", "no such file"))


def test_a_table_is_left_to_the_notebooks_style():
    table = Table("t", "a & b", ("name", "<x>"), [("é", 1.25), ("b", None)], {1: 2}, ("1 < 2",))
    assert read_table(table.to_html()) == [["name", "<x>"], ["é", "1.25"], ["b", "–"]]  # noqa: RUF001
    assert "<strong>a &amp; b</strong>" in table.to_html()
    assert "<p>1 &lt; 2</p>" in table.to_html()
    assert "color" not in table.to_html()


def test_a_run_of_shifts_is_a_line_and_sentences(tmp_path):
    Image.new("RGB", (64, 48), "grey").save(tmp_path / "a.png")
    (tmp_path / "<b>.png").write_bytes(b"")
    run = shift(network(2), tmp_path, tmp_path / "out", preprocessing=SMALL)
    assert isinstance(run, ShiftRun)
    assert repr(run).startswith(f"ShiftRun(page='{tmp_path / 'out' / 'shift.html'}', done=1, ")
    assert repr(run).isprintable()
    html = run._repr_html_()
    assert "1 image drawn" in html
    assert "&lt;b&gt;.png: the file is empty" in html
