"""Weights of other programs at work: a start of several files, averaged ones beside the plain."""

import hashlib

import pytest
import torch
from huggingface_hub import save_torch_state_dict

from tdam import create_model
from tdam.training.recipe import Recipe
from tdam.weights import WeightsError
from wsol.training.start import hash_start
from wsol.workflows.calibrate import calibrate


@pytest.fixture
def folder(tmp_path):
    state = create_model("efficientnet_lite0", num_classes=2).state_dict()
    save_torch_state_dict(state, tmp_path, max_shard_size="5MB")
    return tmp_path


def test_every_part_counts(folder):
    recipe = Recipe(model="efficientnet_lite0", weights=str(folder))
    parts = [folder / "model.safetensors.index.json", *sorted(folder.glob("*-of-*"))]
    assert len(parts) > 3
    whole = b"".join(part.read_bytes() for part in parts)
    before = hash_start(recipe)
    assert before == hashlib.sha256(whole).hexdigest()
    assert hash_start(recipe.change(weights=str(parts[0]))) == before
    content = parts[-1].read_bytes()
    parts[-1].write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert hash_start(recipe) != before
    parts[0].write_text("{}")
    with pytest.raises(WeightsError, match="expected a weight_map"):
        hash_start(recipe)


def test_no_threshold_is_written_beside_an_index(folder, objects):
    before = sorted(folder.iterdir())
    with pytest.raises(ValueError, match=r"index\.json cannot hold a threshold"):
        calibrate(folder, boxes=objects)
    assert sorted(folder.iterdir()) == before


def test_averaged_weights_are_told_in_one_line(folder, objects, run):
    path = folder / "w.pt"
    state = create_model("efficientnet_lite0", num_classes=3).state_dict()
    torch.save({"model": state, "model_ema": state}, path)
    code, _, told = run("evaluate", objects, "--checkpoint", path, "--workers", 0)
    assert code == 0
    assert told.count("averaged ones (EMA) are there too, under model_ema") == 1
    assert "Warning" not in told
