"""What every training method is asked: does a recipe name it, and does all of it run together."""

from small_objects import boxed, fill

from tdam import load_checkpoint
from tdam.training import load_recipe
from wsol import evaluate
from wsol.training.train import train_localizer


def read_recipe(folder, text):
    """A recipe of a file, which is the same again when it is written."""
    (folder / "mine.toml").write_text(text)
    recipe = load_recipe(folder / "mine.toml")
    (folder / "again.toml").write_text(recipe.to_toml())
    assert load_recipe(folder / "again.toml") == recipe
    return recipe


def learn_and_score(folder, head):
    """Train a network with a head on a few images for an epoch, and score it on others."""
    root = fill(folder / "data", 10)
    recipe = load_recipe("finetune").change(
        size=64, output_stride=8, epochs=1, batch_size=8, head_lr=2.0, head=head, loss=head,
        method="auto", ema=0.0,
    )  # fmt: skip
    run = train_localizer(root, folder / "run", recipe, workers=0)
    network, info = load_checkpoint(run.weights)
    assert (info.settings["head"], network.spec.method) == (head, "cam")
    new = fill(folder / "new", 2, first=50)
    scored = evaluate(network, boxed(new), new, threshold="oracle", workers=0).to_dict()
    assert 0 < scored["max_box_acc_v2"] <= 100
    return run
