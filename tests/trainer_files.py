"""One small network as trainers save it, in all their ways."""

import argparse

import numpy as np
import timm
import torch
from timm.utils import CheckpointSaver
from torch import nn
from torch.optim.swa_utils import AveragedModel

from tdam import create_model, load_checkpoint

torch.manual_seed(0)
IMAGE = torch.rand(2, 3, 64, 64)


def make(seed):
    torch.manual_seed(seed)
    return timm.create_model("resnet18", num_classes=3).eval()


def prefix(state, text):
    return {f"{text}{name}": tensor for name, tensor in state.items()}


class Task(nn.Module):
    """A network as an attribute of what trains it."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def lightning(network, **parts):
    """What Lightning's trainer saves, as its `dump_checkpoint` lists it."""
    return {
        "epoch": 4,
        "global_step": 500,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": Task(**{"model": network, **parts}).state_dict(),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 5}}}},
        "callbacks": {
            "ModelCheckpoint{'monitor': 'val/acc'}": {
                "best_model_score": torch.tensor(0.75),
                "best_k_models": {"a.ckpt": torch.tensor(0.75)},
            }
        },
        "optimizer_states": [torch.optim.AdamW(network.parameters()).state_dict()],
        "lr_schedulers": [{"base_lrs": [0.1], "last_epoch": 4}],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.1, "model": {"name": "resnet18"}},
    }


def trained(network):
    """The network's optimizer after a step, and so with tensors of its own."""
    copy = make(0)
    copy.load_state_dict(network.state_dict())
    optimizer = torch.optim.SGD(copy.parameters(), lr=0.1, momentum=0.9)
    copy(IMAGE).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def timm_file(folder, network, model_ema=None, **more):
    """What timm's trainer saves."""
    saver = CheckpointSaver(
        network,
        torch.optim.SGD(network.parameters(), lr=0.1),
        args=argparse.Namespace(model="resnet18", lr=0.1),
        model_ema=model_ema,
        checkpoint_dir=str(folder),
        recovery_dir=str(folder),
    )
    saver.save_checkpoint(7, **more)
    return folder / "model_best.pth.tar"


def compiled_inside(network):
    copy = make(0)
    copy.load_state_dict(network.state_dict())
    copy.layer4 = torch.compile(copy.layer4)
    copy.layer1[0] = torch.compile(copy.layer1[0])
    return copy


def averaged(network):
    model = AveragedModel(network)
    model.update_parameters(network)
    return model.state_dict()


SAVED = {
    "state dict": lambda net: net.state_dict(),
    "state_dict": lambda net: {"state_dict": net.state_dict(), "epoch": 3},
    "model and fairseq's optimizer": lambda net: {
        "args": argparse.Namespace(arch="resnet18"),
        "model": net.state_dict(),
        "optimizer_history": [{"num_updates": 7}],
        "last_optimizer_state": trained(net),
    },
    "model_state_dict": lambda net: {
        "model_state_dict": net.state_dict(),
        "optimizer_state_dict": trained(net),
        "loss": torch.tensor(0.5),
    },
    "model_state": lambda net: {"model_state": net.state_dict(), "optimizer_state": trained(net)},
    "net": lambda net: {"net": net.state_dict(), "acc": np.float64(71.5), "epoch": np.int64(3)},
    "network": lambda net: {"network": net.state_dict()},
    "params": lambda net: {"params": net.state_dict()},
    "weights": lambda net: {"weights": net.state_dict(), "model": {"name": "resnet18"}},
    "DeepSpeed's module": lambda net: {"module": net.state_dict(), "optimizer": trained(net)},
    "dict in a dict": lambda net: {"model": {"state_dict": net.state_dict(), "cfg": {"a": 1}}},
    "averaged alone": lambda net: {"model_ema": averaged(net), "epoch": 3},
    "parallel": lambda net: {"state_dict": nn.DataParallel(net).state_dict()},
    "torch's average": averaged,
    "average of a parallel one": lambda net: averaged(nn.DataParallel(net)),
    "parallel average": lambda net: nn.DataParallel(AveragedModel(net)).state_dict(),
    "compiled": lambda net: torch.compile(net).state_dict(),
    "compiled, parallel": lambda net: nn.DataParallel(torch.compile(net)).state_dict(),
    "parallel, compiled": lambda net: torch.compile(nn.DataParallel(net)).state_dict(),
    "compiled inside": lambda net: compiled_inside(net).state_dict(),
    "Lightning": lightning,
    "Lightning, compiled": lambda net: lightning(torch.compile(net)),
    "Lightning, net": lambda net: {"state_dict": Task(net=net).state_dict()},
    "tasks in tasks": lambda net: Task(network=Task(backbone=Task(encoder=net))).state_dict(),
    "torch's example": lambda net: {
        "arch": "resnet18",
        "state_dict": nn.DataParallel(net).state_dict(),
        "best_acc1": torch.tensor(71.5),
        "scheduler": torch.optim.lr_scheduler.MultiStepLR(
            torch.optim.SGD(net.parameters(), lr=0.1), [1]
        ).state_dict(),
    },
}


def check_equal(path, twin):
    """Both ways into a network give the twin's logits."""
    wanted = twin(IMAGE)
    found, info = load_checkpoint(path)
    assert (info.source, info.settings["name"]) == ("plain", "resnet18")
    assert torch.equal(found(IMAGE), wanted)
    assert torch.equal(create_model("resnet18", num_classes=3, weights=path)(IMAGE), wanted)
    return info
