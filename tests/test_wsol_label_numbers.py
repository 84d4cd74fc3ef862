"""Which output a label is: by WordNet id, by name, and by number never without a word."""

import json

import pytest
from shapes import make_shapes, make_weights

from eval.manifest import open_data_set
from tdam.training.recipe import load_recipe
from wsol import benchmark, calibrate, compare, evaluate
from wsol.label_matching import match_evaluated, match_labels

NUMBERS = pytest.mark.fault("numbers: labels taken for numbers without a word")
IDS = pytest.mark.fault("numbers: classes that share a WordNet id")
SAID = "taken for the numbers of its outputs"
OWN = ("green", "blue", "red")  # the data's labels are blue, red, green
WNIDS = ("n03028079", "n03888257", "n01440764")
RIGHT = {0: 1, 1: 2, 2: 0}


@pytest.fixture
def data(tmp_path):
    return make_shapes(tmp_path / "data", {"train": 1, "val": 1, "test": 1})


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "own.safetensors"
    make_weights(load_recipe("finetune").change(size=64), path, OWN)
    return path


class Told(list):
    """Events that keep what is said."""

    say = list.append

    def __getattr__(self, name):
        return lambda *args, **more: None


def match(data, names, table=None):
    if table is not None:
        (data / "classes.csv").write_text(table)
    opened = open_data_set(data)
    return match_evaluated(opened.load("test"), names, data=opened)


@NUMBERS
def test_numbers_are_told_where_the_network_has_names(data):
    outputs, note = match(data, OWN)
    assert outputs == {0: 0, 1: 1, 2: 2}
    assert note.endswith(f"labels are {SAID}")
    assert "0 is 'green', 1 is 'blue'" in note
    assert SAID in match_evaluated(open_data_set(data).load("test"), OWN)[1]
    assert match(data, ("class 0", "class 1", "class 2"))[1] == ""  # it has none of its own
    table = "label,name\n0,2\n1,0\n2,1\n"  # classes that are called by numbers
    outputs, note = match(data, OWN, table)
    assert (outputs, note.endswith(SAID)) == ({0: 2, 1: 0, 2: 1}, True)
    assert match(data, ("0", "1", "2"), table) == ({0: 2, 1: 0, 2: 1}, "")


@pytest.mark.slow
@NUMBERS
def test_every_command_tells_it(run, data, weights, tmp_path, capsys):
    code, _, err = run(
        "evaluate", data, "--checkpoint", weights, "--workers", 0, "--out", tmp_path / "one"
    )
    assert (code, SAID in err.replace("\n", " ")) == (0, True), err
    said = Told()
    evaluate(weights, data, workers=0, events=said)
    benchmark(data, {"a": weights}, workers=0, thresholds=["oracle"], events=said)
    compare(tmp_path / "one", tmp_path / "one", events=said)
    assert sum(SAID in line for line in said) == 4  # of both that are compared
    code, _, err = run("compare", tmp_path / "one", tmp_path / "one")
    assert (code, SAID in err.replace("\n", " ")) == (0, True), err
    labels = tmp_path / "yolo"
    labels.mkdir()
    (labels / "blue-0.txt").write_text("0 0.5 0.5 0.7 0.7")
    said = Told()
    calibrate(
        weights, labels, data / "test", out=tmp_path / "new.safetensors", workers=0, events=said
    )
    assert any(SAID in line for line in said)


@IDS
@pytest.mark.parametrize(
    ("names", "table"),
    [
        (WNIDS, "label,wnid,name\n0,n03888257,a\n1,n01440764,b\n2,n03028079,c\n"),
        (WNIDS, "label,wnid\n0,n03888257\n1,n01440764\n2,n03028079\n"),
        (OWN, "label,wnid,name\n0,n03888257,blue\n1,n01440764,red\n2,n03028079,green\n"),
        (
            ("green", "n03888257", "n01440764"),
            "label,wnid,name\n0,n03888257,a\n1,n01440764,b\n2,n03028079,green\n",
        ),
        (
            ("green", "n03888257", "red"),
            "label,wnid,name\n0,n03888257,a\n1,,red\n2,n03028079,green\n",
        ),
    ],
)
def test_ids_and_names_match_in_any_order(data, names, table):
    assert match(data, names, table) == (RIGHT, "")
    split = open_data_set(data).load("val+test")
    assert match_labels(split, names).outputs == RIGHT  # for trainings and calibrations too


@IDS
def test_an_id_tells_more_than_a_name(data):
    table = "label,wnid,name\n0,n02012849,crane\n1,n03126707,crane\n2,n01440764,n02012849\n"
    outputs, note = match(data, ("n01440764", "n02012849", "n03126707"), table)
    assert outputs == {0: 1, 1: 2, 2: 0}
    assert note == "by their names some classes are others: 'n02012849'; their wnid counts"


@IDS
def test_what_matches_in_part_or_twice_is_refused(data):
    part = "label,wnid,name\n0,n03888257,a\n1,n1,b\n2,n03028079,c\n"
    with pytest.raises(ValueError, match=r"none of the network's: 1 \('b'\); a class table"):
        match(data, WNIDS, part)
    twice = "label,wnid,name\n0,n03888257,a\n1,n03888257,b\n2,n03028079,c\n"
    with pytest.raises(ValueError, match=r"none of the network's: 2 \('a', 'b'\)"):
        match(data, WNIDS, twice)
    same = "label,wnid,name\n0,n03888257,a\n1,,n03888257\n2,n03028079,c\n"
    with pytest.raises(ValueError, match=r"\[0, 1\] mean 'n03888257'"):
        match(data, WNIDS, same)
    outputs, note = match(data, WNIDS, "label,wnid\n0,n1\n1,n2\n2,n3\n")
    assert outputs == {0: 0, 1: 1, 2: 2}
    strangers = "classes that are none of the network's: 3 ('n1', 'n2', 'n3')"
    assert note == f"{strangers}; labels are {SAID}"


@IDS
def test_a_network_scores_the_same_by_ids(data, weights, tmp_path):
    (data / "classes.csv").write_text("label,name\n0,blue\n1,red\n2,green\n")
    first = evaluate(weights, data, workers=0).to_dict()
    from tdam import load_checkpoint, save_checkpoint

    network, _ = load_checkpoint(weights)
    network.class_names = WNIDS
    save_checkpoint(network, tmp_path / "ids.safetensors")
    rows = "0,n03888257,parachute\n1,n01440764,tench\n2,n03028079,church\n"
    (data / "classes.csv").write_text(f"label,wnid,name\n{rows}")
    second = evaluate(tmp_path / "ids.safetensors", data, workers=0).to_dict()
    for scores in (first, second):
        del scores["weights_sha256"], scores["overlaps"]
    assert json.dumps(first) == json.dumps(second)
