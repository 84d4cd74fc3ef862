"""What of a data set is trained on: at most so many images a class, always the same ones."""

import pytest
from PIL import Image

from tdam.training.recipe import load_recipe
from wsol.training_data import load_training_data


@pytest.fixture
def folders(tmp_path):
    for name, count in (("cat", 6), ("dog", 3)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (8, 8), (10 * i, 0, 0)).save(tmp_path / "data" / name / f"{i}.png")
    return tmp_path / "data"


def test_a_class_gives_its_first_images(folders):
    whole = load_training_data(folders)
    some = load_training_data(folders, per_class=4)
    assert whole.whole.labels.tolist() == [0] * 6 + [1] * 3
    assert some.whole.ids == ("cat/0.png", "cat/1.png", "cat/2.png", "cat/3.png",
                              "dog/0.png", "dog/1.png", "dog/2.png")  # fmt: skip
    assert some.held_out
    assert set(some.val.ids) < set(some.whole.ids)
    assert not set(some.val.ids) & set(some.train.ids)


def test_another_number_of_images_is_other_data(folders):
    digests = {load_training_data(folders, per_class=count).digest() for count in (0, 3, 4)}
    assert len(digests) == 3
    assert load_recipe("finetune").per_class == 0
    with pytest.raises(ValueError, match="per_class"):
        load_recipe("finetune").change(per_class=-1)
