"""timm and torchvision load without torch's compiler, and have it when they want it."""

import subprocess
import sys

import pytest


def tell(code):
    """The last line that a new process prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_networks_with_attention_are_built_saved_read_and_run_without_the_compiler(tmp_path):
    code = f"""
import sys, torch
from tdam import create_model, load_checkpoint, save_checkpoint
for name in ("efficientnet_lite0", "resnet18", "mobilenet_v3_large"):
    model = create_model(name, attention="tdam")
    path = save_checkpoint(model, {str(tmp_path)!r} + f"/{{name}}.safetensors")
    load_checkpoint(path)[0].eval()(torch.zeros(1, 3, 64, 64))
print("torch._dynamo" in sys.modules)
"""
    assert tell(code) == "False"


def test_what_wants_the_compiler_has_it_afterwards():
    # box pooling asks whether it can run; compiled functions that are not to be compiled still run
    code = """
import tdam.libraries, torch, torchvision.ops, timm
assert torch.compiler.disable.__module__ == "torch.compiler"
boxes = torch.tensor([[0, 0.0, 0.0, 2.0, 2.0]])
pooled = torchvision.ops.roi_align(torch.ones(1, 1, 4, 4), boxes, 2)
learned = timm.models.naflexvit.NaFlexEmbeds._apply_learned_naflex_pos_embed
double = tdam.libraries._disable_when_called(lambda x: 2 * x)
compiled = torch.compile(lambda x: double(x) + 1, backend="eager")
print(pooled.sum().item(), learned._torchdynamo_disable, compiled(torch.tensor(3)).item())
"""
    assert tell(code) == "4.0 True 7"


WAITING = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"


@pytest.mark.parametrize("before", ["import torch._dynamo", WAITING], ids=["loaded", "threads"])
def test_nothing_stands_in_where_somebody_might_meet_it(before):
    code = f"{before}\nfrom tdam.libraries import without_compiler; import torch"
    ask = "with without_compiler(): print(torch.compiler.disable.__module__)"
    assert tell(f"{code}\n{ask}") == "torch.compiler"


def test_a_version_that_wants_more_of_the_compiler_loads_as_ever():
    code = """
import sys
class Wants:
    def find_spec(self, name, path=None, target=None):
        if name == "timm.layers.grn" and not vars(self):
            self.asked = True
            from torch._dynamo.utils import counters
sys.meta_path.insert(0, Wants())
import tdam.libraries
print(tdam.libraries.GlobalResponseNorm.__name__, "torch._dynamo" in sys.modules)
"""
    assert tell(code) == "GlobalResponseNorm True"


def test_what_is_not_to_be_compiled_is_left_alone_without_a_word():
    code = """
import warnings
import tdam.libraries, torch
warnings.simplefilter("error")
double = tdam.libraries._disable_when_called(lambda x: 2 * x)
graphs = []
def keep(module, inputs):
    graphs.append(str(module.code))
    return module.forward
compiled = torch.compile(lambda x: double(x.sin()).cos(), backend=keep)
same = torch.equal(compiled(torch.ones(2)), (2 * torch.ones(2).sin()).cos())
print(same, any("2 *" in graph or "* 2" in graph for graph in graphs))
"""
    assert tell(code) == "True False"
