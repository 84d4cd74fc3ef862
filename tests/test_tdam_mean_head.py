"""A linear head on the mean of the last map, whatever head a network has of its own."""

import pytest
import torch
from PIL import Image
from skimage.data import astronaut
from two_class_toy import find_squares, teach

from tdam import create_model, load_checkpoint, save_checkpoint
from wsol import Localizer


def settle(network):
    torch.manual_seed(1)
    torch.nn.init.normal_(network.get_submodule(network.spec.classifier).weight)
    return network


def literal_scores(network, layer, images, turn):
    """Classify the mean of what a layer puts out, read off a run of the network."""
    kept = []
    handle = network.get_submodule(layer).register_forward_hook(
        lambda module, args, output: kept.append(output.clone())
    )
    with torch.no_grad():
        network(images)
    handle.remove()
    return network.mean_head(turn(kept[-1]))


@pytest.mark.parametrize(
    ("name", "layer", "turn"),
    [
        ("convnext_tiny", "features.7", lambda maps: maps.mean(dim=(2, 3))),
        ("mobilenet_v3_large", "features.16", lambda maps: maps.mean(dim=(2, 3))),
        ("timm:vit_tiny_patch16_224", "norm", lambda tokens: tokens[:, 1:].mean(dim=1)),
        ("timm:deit_tiny_distilled_patch16_224", "norm", lambda tokens: tokens[:, 2:].mean(dim=1)),
        ("torchvision:densenet121", "features.norm5", lambda maps: maps.mean(dim=(2, 3))),
    ],
)
def test_scores_are_linear_in_the_mean_of_the_last_map(name, layer, turn):
    torch.manual_seed(0)
    network = settle(create_model(name, num_classes=3, head="mean"))
    assert (network.spec.classifier, network.spec.method) == ("mean_head", "cam")
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        scores = network(images)
    torch.testing.assert_close(scores, literal_scores(network, layer, images, turn))
    assert not {key for key in network.state_dict() if key.startswith(("head.", "fc."))}
    with Localizer(network, method="cam", threshold=0.3) as localizer:  # which checks the sum
        found = localizer(Image.fromarray(astronaut()))
    assert found.steps[-1].map.std() > 0.01


def test_a_network_whose_own_head_is_one_keeps_it():
    network = create_model("resnet18", num_classes=3, head="mean")
    assert network.spec.classifier == "fc"
    assert network.settings["head"] == "mean"


def test_files_know_the_head(tmp_path):
    torch.manual_seed(0)
    network = settle(create_model("timm:vit_tiny_patch16_224", num_classes=4, head="mean"))
    path = save_checkpoint(network, tmp_path / "a.safetensors")
    again, info = load_checkpoint(path)
    assert info.settings["head"] == "mean"
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(again(images), network(images), rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"weights do not fit timm:vit_tiny_patch16_224"):
        load_checkpoint(path, head="own")
    other = create_model("timm:vit_tiny_patch16_224", num_classes=4, head="mean", weights=path)
    torch.testing.assert_close(other.mean_head.weight, network.mean_head.weight)


def test_weights_of_the_own_head_start_a_new_one_at_zero(tmp_path):
    torch.manual_seed(0)
    own = create_model("timm:convnext_atto", num_classes=7)
    path = save_checkpoint(own, tmp_path / "own.safetensors")
    network = create_model("timm:convnext_atto", num_classes=2, head="mean", weights=path)
    assert not network.mean_head.weight.any()
    torch.testing.assert_close(network.stem[0].weight, own.stem[0].weight)


def test_attention_and_its_steps_go_with_it():
    torch.manual_seed(0)
    network = settle(create_model("convnext_tiny", attention="tdam", num_classes=3, head="mean"))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        out = network.forward_steps(images)
        torch.testing.assert_close(out.logits[:, -1], network(images))
        means = out.features[:, 0].mean(dim=(2, 3))
        torch.testing.assert_close(out.logits[:, 0], network.mean_head(means))


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",  # (N, C, h, w)
        pytest.param("timm:swin_tiny_patch4_window7_224", marks=pytest.mark.slow),  # (N, h, w, C)
        "timm:vit_tiny_patch16_224",  # tokens, behind one of the class
        pytest.param("timm:eva02_tiny_patch14_224", marks=pytest.mark.slow),
        pytest.param("timm:convnext_atto", marks=pytest.mark.slow),
        pytest.param("timm:maxvit_rmlp_pico_rw_256", marks=pytest.mark.slow),
    ],
)
def test_a_bright_square_is_found_in_every_layout(name):
    torch.manual_seed(0)
    network = create_model(name, num_classes=2, head="mean")
    teach(network)
    assert find_squares(network) == 8


@pytest.mark.parametrize("name", ["timm:levit_128s", "timm:tnt_s_legacy_patch16_224"])
def test_tokens_whose_places_cannot_be_told_are_no_map(name):
    with pytest.raises(ValueError, match=r"with \d+% of its layers behind it"):
        create_model(name, num_classes=2, head="mean")


def test_heads_of_several_parts_stay():
    with pytest.raises(ValueError, match=r"runs without head, .* timm:crossvit_9_240 does not"):
        create_model("timm:crossvit_9_240", num_classes=2, head="mean")


def test_attention_from_token_to_token_is_no_map():
    spec = create_model("timm:tnt_s_legacy_patch16_224", num_classes=2).spec
    assert "attn" not in spec.map_layer


def test_an_unknown_head_is_refused():
    with pytest.raises(ValueError, match="head to be one of own, mean, acol, spg but got 'max'"):
        create_model("resnet18", head="max")
