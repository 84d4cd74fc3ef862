"""No task tells of more than it has: not at its end, not where it goes on."""

import pytest
from listeners import KillError, Watchful

from tdam import create_model
from wsol import shift, train
from wsol.drafts import DraftPage
from wsol.prediction import predict


class Cut(Watchful):
    """Cuts a training off in the middle of its second epoch."""

    def advance(self, count=1, **figures):
        super().advance(count)
        if self.tasks[-1][0] == "train 2/2" and self.left < 20:
            raise KillError


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["finetune", "linear_probe"])
def test_a_training_counts_to_its_end(objects, tmp_path, recipe):
    options = {"recipe": recipe, "size": 32, "batch_size": 8, "workers": 0}
    heard = Watchful()
    train(objects, tmp_path / "run", epochs=1, events=heard, **options)
    assert ("train 1/1", 30, 0) in heard.tasks
    assert (heard.left, heard.short) == (None, 0)
    heard = Watchful()
    train(objects, tmp_path / "run", resume=True, workers=0, events=heard)
    assert not any(task.startswith("train") for task, _, _ in heard.tasks)  # nothing is left of it


@pytest.mark.slow
def test_a_training_that_was_cut_off_counts_on(objects, tmp_path):
    options = {"epochs": 2, "size": 32, "batch_size": 8, "workers": 0}
    with pytest.raises(KillError):
        train(objects, tmp_path, save_every=0.0, events=Cut(), **options)
    heard = Watchful()
    train(objects, tmp_path, resume=True, workers=0, events=heard)
    name, total, done = heard.tasks[-1]
    assert (name, total) == ("train 2/2", 60)
    assert 30 < done < 60
    assert (heard.left, heard.short) == (None, 0)


@pytest.mark.slow
def test_pictures_and_pages_are_counted(photos, tmp_path):
    model, heard = create_model("resnet18", num_classes=3, attention="tdam"), Watchful()
    predict(model, photos, page=DraftPage(tmp_path / "page"), events=heard)
    shift(model, photos, tmp_path / "shift", events=heard)
    assert [task for task in heard.tasks if task[1] == 5] == [
        ("predict", 5, 0), ("page", 5, 0), ("shift", 5, 0)
    ]  # fmt: skip
