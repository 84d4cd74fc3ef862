import pytest
from small_training import SMALL

from tdam.training import list_recipes, load_recipe
from tdam.training.recipe import Recipe, differing_keys


def test_recipes_come_along():
    assert {"finetune", "scratch_small"} <= set(list_recipes())
    for name in list_recipes():
        assert load_recipe(name).name == name
    assert load_recipe("finetune").weights == "pretrained"
    assert load_recipe("scratch_small").weights == "random"


def test_a_recipe_is_written_as_it_is_read(tmp_path):
    recipe = SMALL.change(
        drops=[3, 5], schedule="steps", packed=True, weights='a "b"\\c \U0001f600 \x7f'
    )
    (tmp_path / "small.toml").write_text(recipe.to_toml())
    assert load_recipe(tmp_path / "small.toml") == recipe


def test_a_recipe_has_a_base(tmp_path):
    (tmp_path / "mine.toml").write_text('base = "scratch_small"\nlr = 1\n')
    found = load_recipe(str(tmp_path / "mine.toml"))
    assert found.name == "mine"
    assert found.lr == 1.0
    assert differing_keys(found, load_recipe("scratch_small")) == ["name", "lr"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lrr = 1", "a recipe to have keys among name, model, .*seed but got lrr"),
        ('lr = "high"', "lr to be a number but got 'high'"),
        ("epochs = 2.5", "epochs to be a whole number but got 2.5"),
        ("epochs = true", "epochs to be a whole number but got True"),
        ("epochs = 0", "epochs to be from 1 to"),
        ('optimizer = "lamb"', "optimizer to be one of sgd, adamw but got 'lamb'"),
        ("compile = 1", "compile to be true or false but got 1"),
        ("drops = 3", "drops to be a list of whole numbers but got 3"),
        ("drops = [1, 2.5]", r"drops to be a list of whole numbers but got \[1, 2.5\]"),
        ("model = 3", "model to be a text but got 3"),
        ("select = 1", "select to be a text but got 1"),
        ('loss = "hinge"', "loss to be one of cross_entropy, acol, spg but got 'hinge'"),
        ("base = 5", "base to name a recipe but got 5"),
        (
            'base = "nothing"',
            "recipe to be one of add_attention, cub_resnet50, .*scratch_small",
        ),
        ("lr = ", "Invalid value"),
    ],
)
def test_a_recipe_that_breaks_a_rule(tmp_path, text, message):
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_recipe(str(tmp_path / "r.toml"))


def test_a_file_from_before_there_were_losses(tmp_path):
    lines = [line for line in Recipe().to_toml().splitlines(True) if not line.startswith("loss")]
    (tmp_path / "old.toml").write_text("".join(lines))
    old = load_recipe(tmp_path / "old.toml")
    assert old.loss == "cross_entropy"
    assert differing_keys(old, Recipe()) == []
    assert 'loss = "cross_entropy"\n' in old.to_toml()


def test_files_that_are_no_recipe(tmp_path):
    with pytest.raises(ValueError, match=r"Expected a recipe but .*gone\.toml: No such file"):
        load_recipe(tmp_path / "gone.toml")
    (tmp_path / "latin.toml").write_bytes('name = "\xfc"'.encode("latin-1"))
    with pytest.raises(ValueError, match=r"Expected a recipe but .*latin\.toml: 'utf-8' codec"):
        load_recipe(tmp_path / "latin.toml")


def test_a_base_that_never_ends(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(f"base = {str(path)!r}")
    with pytest.raises(ValueError, match="never ends"):
        load_recipe(str(path))


def test_choices_as_text():
    found = Recipe().change_by_text(["ema=0.9", "model=resnet18", "drops=[2, 4]", "compile=true"])
    assert (found.ema, found.model, found.drops, found.compile) == (0.9, "resnet18", (2, 4), True)
    with pytest.raises(ValueError, match="key=value"):
        Recipe().change_by_text(["ema"])
