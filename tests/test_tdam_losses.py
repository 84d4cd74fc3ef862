import pytest
import torch
from small_training import SMALL, Noise, Tiny, count_weights, same
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tdam.training import load_recipe, train
from tdam.training.losses import LOSSES, find_loss


class TwoHeads(Tiny):
    """A second head that looks where the first one, asked by the true class, does not."""

    def __init__(self):
        super().__init__()
        self.second = nn.Conv2d(8, 2, 1)

    def forward(self, x, wanted=None):
        features = self.stem(x)
        logits = self.classify(features)
        if wanted is None:
            return logits
        weights = self.classifier.weight[wanted]
        maps = torch.einsum("nchw,nc->nhw", features, weights)
        erased = features * (maps < maps.mean(dim=(1, 2), keepdim=True))[:, None]
        return logits, self.second(erased).mean(dim=(2, 3))


def both_heads(network, images, wanted, recipe):
    first, second = network(images, wanted)
    return F.cross_entropy(first.float(), wanted) + F.cross_entropy(second.float(), wanted)


RECIPE = SMALL.change(mixup=0.0, cutmix=0.0)


def run(folder, recipe=RECIPE, loss=both_heads, **options):
    torch.manual_seed(0)
    model = TwoHeads()
    options = {"validate": count_weights, "workers": 0, **options}
    train(model, Noise(), recipe, folder, loss=loss, **options)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("choices", [{}, {"precision": "bfloat16"}, {"compile": True}])
def test_both_heads_learn(tmp_path, choices, monkeypatch):
    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model: compiled(model, backend="aot_eager"))
    torch.manual_seed(0)
    before = TwoHeads().state_dict()
    after = run(tmp_path, RECIPE.change(**choices)).state_dict()
    for name in ("stem.0.weight", "classifier.weight", "second.weight", "second.bias"):
        assert not torch.equal(before[name], after[name]), name


def test_a_run_that_was_cut_off_ends_the_same(tmp_path):
    def stop(network, images, wanted, recipe, left=[4]):  # noqa: B006, it counts
        left[0] -= 1
        if left[0] == 0:
            raise ZeroDivisionError
        return both_heads(network, images, wanted, recipe)

    whole = run(tmp_path / "whole")
    with pytest.raises(ZeroDivisionError):
        run(tmp_path / "cut", loss=stop, save_every=0.0)
    assert same(run(tmp_path / "cut", resume=True), whole)


def test_a_loss_by_name(tmp_path, monkeypatch):
    text = "def only_second(network, images, wanted, recipe):\n    "
    text += "return (network(images, wanted)[1][:, 0] - wanted).square().mean()\n"
    (tmp_path / "their_losses.py").write_text(text)
    (tmp_path / "mine.toml").write_text('base = "finetune"\nloss = "second"')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(LOSSES, "second", "their_losses:only_second")
    recipe = RECIPE.change(loss=load_recipe(tmp_path / "mine.toml").loss)
    by_name = run(tmp_path / "name", recipe, loss=None)
    assert same(by_name, run(tmp_path / "given", loss=find_loss("second")))
    assert not same(by_name, run(tmp_path / "other"))


def test_a_loss_that_is_not_there():
    with pytest.raises(ValueError, match="one of cross_entropy, acol, spg but got 'hinge'"):
        find_loss("hinge")
