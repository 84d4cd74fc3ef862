"""Blocks of timm's and torchvision's families: plans that are exact, and refusals at once."""

import copy

import pytest
import timm
import torch
import torchvision
from torch import nn

from tdam import attach_top_down, start_as_identity
from tdam.attach import list_blocks, replace_blocks
from tdam.recurrence import PlannedBlock, TopDownBlock
from tdam.steps import every_step

QUICK = ("test_byobnet", "test_convnext", "test_efficientnet", "test_resnet")
MORE = (
    "convnextv2_atto", "efficientnetv2_rw_t", "ghostnet_050", "hardcorenas_b", "legacy_seresnet18",
    "legacy_seresnet50", "mixnet_s", "mobilenetv3_small_050", "mobilenetv4_conv_small_035",
    "mobilevit_xxs", "regnetx_002", "regnety_002", "regnetv_040", "repghostnet_050", "resnest14d",
    "resnetv2_18", "resnetv2_50x1_bit", "resnetv2_50d", "skresnet18", "skresnet50", "tresnet_m",
    "vit_small_r26_s32_224", "seresnext26ts",
)  # fmt: skip
THEIRS = (
    "convnext_tiny", "efficientnet_b0", "efficientnet_v2_s", "mobilenet_v2", "mobilenet_v3_small",
    "regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnet50",
)  # fmt: skip
REFUSED = {
    "halonet_h1": "stages.3.2",
    "cait_xxs24_224": "blocks_token_only.1",
    "coat_tiny": "parallel_blocks.5",
    "convit_tiny": "blocks.11",
    "convmixer_768_32": "blocks.31.0",
    "cpubone_nano": "stages.3.2.total.1",
    "csatv2": "stages.3.6",
    "cs3darknet_focus_s": "stages.3.blocks.0",
    "cspnext_tiny": "stages.3.2.blocks.0",
    "davit_tiny": "stages.3.blocks.0.1",
    "deit_tiny_patch16_224": "blocks.11",
    "edgenext_xx_small": "stages.3.blocks.1",
    "efficientformer_l1": "stages.3.blocks.4",
    "efficientformerv2_s0": "stages.3.blocks.3",
    "efficientvim_m1": "stages.2.blocks.1",
    "efficientvit_b0": "stages.3.blocks.2",
    "efficientvit_m0": "stages.2.blocks.2",
    "vit_tiny_patch16_dinov3_qkvb": "blocks.11",
    "fasternet_t0": "stages.3.blocks.1",
    "fastvit_t8": "stages.3.blocks.1",
    "focalnet_tiny_srf": "layers.3.blocks.1",
    "gcvit_xxtiny": "stages.3.blocks.1",
    "hgnetv2_b0": "stages.3.blocks.0.aggregation.1",
    "hiera_tiny_224": "blocks.11",
    "sam2_hiera_tiny": "blocks.11",
    "iformer_t": "stages.3.blocks.5",
    "inception_next_atto": "stages.3.blocks.1",
    "lcnetv2_small": "stages.3.1",
    "levit_128s": "stages.2.blocks.3",
    "lowformer_b0": "stages.3.4.attn.main.1",
    "test_mambaout": "stages.3.blocks.0",
    "test_coatnet": "stages.3.blocks.0",
    "poolformerv2_s12": "stages.3.blocks.1",
    "gmlp_ti16_224": "blocks.29",
    "mvitv2_tiny": "stages.3.blocks.1",
    "jx_nest_tiny": "levels.2.transformer_encoder.7",
    "nextvit_small": "stages.3.blocks.2",
    "test_nfnet": "stages.3.0",
    "pit_ti_224": "transformers.2.blocks.3",
    "pvt_v2_b0": "stages.3.blocks.1",
    "rdnet_tiny": "dense_stages.6.2",
    "repvit_m1": "stages.3.blocks.1",
    "res2next50": "layer4.2",
    "rexnet_100": "features.15",
    "selecsls42": "features.5",
    "sequencer2d_s": "stages.3.blocks.2",
    "shvit_s1": "stages.2.blocks.4",
    "starnet_s050": "stages.3.1",
    "swiftformer_xs": "stages.3.blocks.3",
    "swin_tiny_patch4_window7_224": "layers.3.blocks.1",
    "swinv2_tiny_window16_256": "layers.3.blocks.1",
    "swinv2_cr_tiny_224": "stages.3.blocks.1",
    "tiny_vit_5m_224": "stages.3.blocks.1",
    "tnt_s_legacy_patch16_224": "blocks.11",
    "twins_svt_small": "blocks.3.3",
    "visformer_tiny": "stage3.3",
    "test_vit": "blocks.5",
    "vit_tiny_r_s16_p8_224": "blocks.11",
    "test_vit_relpos": "blocks.8",
    "vitamin_small_224": "blocks.13",
    "volo_d1_224": "post_network.1",
    "ese_vovnet19b_slim_dw": "stages.3.blocks.0.conv_mid.2",
    "xception41p": "blocks.12",
    "xcit_nano_12_p8_224": "cls_attn_blocks.1",
}
QUICKLY_REFUSED = ("edgenext_xx_small", "starnet_s050", "test_coatnet", "test_nfnet", "test_vit")


def slowly(names):
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


def build(name):
    """A network without weights of zero, such as those in which many a branch begins."""
    torch.manual_seed(0)
    if name in THEIRS:
        model = torchvision.models.get_model(name, num_classes=5)
    else:
        model = timm.create_model(name, num_classes=5)
    for parameter in model.parameters():
        if parameter.squeeze().ndim <= 1:
            nn.init.uniform_(parameter, 0.5, 1)
    return model.eval()


def images(model, count=2):
    fixed = any(type(part).__name__ == "VisionTransformer" for part in model.modules())
    side = 224 if fixed else 64
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(3))


def last_blocks(model):
    names = list_blocks(model)
    home = names[-1].rpartition(".")[0]
    return [name for name in names if name.rpartition(".")[0] == home]


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-4, atol=float(other.abs().max()) * 1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", [*QUICK, *slowly([*MORE, *THEIRS])])
def test_networks_that_take_it(name):
    model = build(name)
    wanted = model(images(model))
    blocks = last_blocks(model)
    planned = replace_blocks(copy.deepcopy(model), list_blocks(model), PlannedBlock).eval()
    assert torch.equal(planned(images(model)), wanted)

    top_down = attach_top_down(model, blocks, steps=2, distance=1).eval()
    for norm in (part for block in blocks for part in model.get_submodule(block).top_down.norms):
        for parameter in norm.parameters():
            nn.init.uniform_(parameter, 0.2, 2)
    with every_step(top_down) as steps:
        both = steps.split(top_down(images(model)))
    close(both[:, 1], top_down(images(model)))
    assert (both[:, 0] - both[:, 1]).abs().max() > 1e-4 * both.abs().max()
    for block in blocks:
        model.get_submodule(block).steps = 1
    close(both[:, 0], top_down(images(model)))
    close(both[:, 0], wanted)

    for block in blocks:
        model.get_submodule(block).steps = 2
    start_as_identity(top_down).eval()
    close(top_down(images(model)), wanted)


@torch.no_grad()
@pytest.mark.parametrize("conv_mlp", [False, True])
@pytest.mark.parametrize("use_grn", [False, True])
def test_convnext_runs_its_linear_layers_again(conv_mlp, use_grn):
    """What the authors of TDAM run again: the last linear layer, or both and what lies between."""
    block = timm.models.convnext.ConvNeXtBlock(
        8, conv_mlp=conv_mlp, use_grn=use_grn, ls_init_value=0.5
    )
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    x, mlp = torch.randn(2, 8, 6, 5), block.mlp
    wanted = block.eval()(x)

    def turn(features, axes):
        return features if conv_mlp else features.permute(axes)

    def first(features):
        hidden = mlp.act(mlp.fc1(turn(features, (0, 2, 3, 1))))
        return turn(mlp.grn(hidden) if use_grn else hidden, (0, 3, 1, 2))

    def second(hidden):
        return turn(mlp.fc2(turn(hidden, (0, 2, 3, 1))), (0, 3, 1, 2))

    start = turn(block.norm(turn(block.conv_dw(x), (0, 2, 3, 1))), (0, 3, 1, 2))
    runs = {1: (first(start), second), 2: (start, lambda features: second(first(features)))}
    for distance in (1, 2, 3):
        net = attach_top_down(nn.ModuleDict({"0": copy.deepcopy(block)}), ["0"], distance=distance)
        again = net["0"].eval()
        if distance in runs:
            bottom, run = runs[distance]
            bottom, _ = again.top_down.attention(bottom, run(bottom))
            torch.testing.assert_close(again(x), run(bottom) * block.gamma.view(-1, 1, 1) + x)
        assert not torch.allclose(again(x), wanted)
        start_as_identity(net)
        torch.testing.assert_close(again(x), wanted)


@pytest.mark.parametrize("name", ["test_convnext", "test_efficientnet", "test_resnet"])
def test_every_parameter_of_the_blocks_learns(name):
    model = build(name)
    blocks = list_blocks(model)
    attach_top_down(model, blocks).train()
    model(images(model, 4)).square().mean().backward()
    for block in blocks:
        for path, parameter in model.get_submodule(block).named_parameters():
            assert parameter.grad is not None, path
            assert torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize(
    "name",
    [n if n in QUICKLY_REFUSED else pytest.param(n, marks=pytest.mark.slow) for n in REFUSED],
)
def test_networks_that_do_not(name):
    with torch.device("meta"):
        model = timm.create_model(name)
    block = REFUSED[name]
    kind = type(model.get_submodule(block))
    assert list_blocks(model) == []
    message = (
        f"^{block}: Expected a block of a known type, or a sequence, but got {kind.__name__}; "
        "this network has no residual blocks of a known type$"
    )
    with pytest.raises(ValueError, match=message):
        attach_top_down(model, [block])
    assert type(model.get_submodule(block)) is kind


@pytest.mark.parametrize(
    ("name", "block", "message"),
    [
        ("test_vit", "blocks", r"\(N, C, H, W\) one after the other but 0 of it, given .* fails: "),
        ("test_mambaout", "stages.3.blocks", r"one after the other but 0 of it, given .* fails: "),
        ("fastvit_t8", "stages", r"runs its modules one by one; name a part of it, stages\.0:4"),
        ("test_resnet", "maxpool", r"but got MaxPool2d; .* 4 .*, such as layer3\.0 and layer4\.0"),
    ],
)
def test_what_cannot_run_again_is_refused_at_once(name, block, message):
    with torch.device("meta"):
        model = timm.create_model(name)
    before = [(key, id(module)) for key, module in model.named_modules()]
    with pytest.raises(ValueError, match=rf"^{block}: .*{message}"):
        attach_top_down(model, [*list_blocks(model)[:1], block])
    assert [(key, id(module)) for key, module in model.named_modules()] == before
    assert all(module.training for module in model.modules())


@torch.no_grad()
def test_a_sequence_that_the_network_takes_apart_is_taken_as_a_part():
    model = build("fastvit_t8")
    wanted = model(images(model))
    attach_top_down(model, ["stages.0:4"])
    close(start_as_identity(model).eval()(images(model)), wanted)


@torch.no_grad()
def test_channels_are_those_that_a_sequence_runs_with():
    """Not those of the last weights in it: here the shortcut's, which stand before the sum."""

    class Narrowing(nn.Module):
        def __init__(self):
            super().__init__()
            self.out, self.inside = nn.Conv2d(4, 6, 1), nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return self.out(self.inside(x))

    model = nn.ModuleDict({"a": nn.Sequential(nn.Conv2d(3, 3, 1), Narrowing())})
    x = torch.rand(2, 3, 8, 8)
    wanted = model["a"](x)
    attach_top_down(model, ["a"])
    attention = model["a"].top_down.attention
    assert (attention.from_top.in_channels, attention.to_bottom.out_channels) == (6, 3)
    torch.testing.assert_close(start_as_identity(model)["a"](x), wanted)


def test_listed_blocks_are_the_outermost_without_attention():
    model = timm.create_model("test_resnet")
    names = list_blocks(model)
    assert names == ["layer1.0", "layer2.0", "layer3.0", "layer4.0"]
    attach_top_down(model, names[2:])
    assert list_blocks(model) == names[:2]
    assert isinstance(model.layer4[0], TopDownBlock)
