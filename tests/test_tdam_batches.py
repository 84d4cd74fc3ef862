import numpy as np
import torch
from PIL import Image
from small_training import PLAIN, SMALL, Noise, Square

from tdam.preprocessing import Preprocessing
from tdam.ranks import Ranks
from tdam.training.batches import list_batches, load_batches
from tdam.training.mixing import Mixer


def test_what_is_done_to_a_batch():
    wanted = Preprocessing(size=32, mean=(0.1, 0.5, 0.9), std=(0.2, 0.3, 0.4))
    views = torch.stack([Square().read(i) for i in range(6)])
    labels = torch.arange(6) % 2
    images, same_labels = Mixer(PLAIN, wanted, 2, torch.device("cpu"))(views, labels)
    expected = torch.stack(
        [wanted(Image.fromarray(view.permute(1, 2, 0).numpy())) for view in views]
    )
    torch.testing.assert_close(images, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(same_labels, labels)
    mixer = Mixer(PLAIN.change(mixup=1.0), wanted, 2, torch.device("cpu"))
    mixed, soft = mixer(views, labels)
    assert soft.shape == (6, 2)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(6))
    share = soft[1, 1]  # of the image itself, whose neighbour has the other label
    assert 0 < share < 1
    torch.testing.assert_close(mixed[1], share * images[1] + (1 - share) * images[0])
    erased, _ = Mixer(PLAIN.change(erasing=1.0), wanted, 2, torch.device("cpu"))(views, labels)
    changed = (erased != images).any(dim=1).float().mean(dim=(1, 2))
    assert ((changed > 0.01) & (changed < 0.5)).all()


def test_an_epoch_has_every_image_once():
    batches = list_batches(10, 4, seed=3, epoch=0)
    assert [len(each) for each in batches] == [4, 3, 3]
    assert sorted(np.concatenate(batches).tolist()) == list(range(10))
    again, later, other = (
        np.concatenate(list_batches(10, 4, seed=s, epoch=e)).tolist()
        for s, e in ((3, 0), (3, 1), (4, 0))
    )
    assert np.concatenate(batches).tolist() == again
    assert again != later
    assert again != other


def test_views_hang_on_seed_and_place_alone():
    before = torch.get_rng_state()
    alone = Ranks(0, 1, torch.device("cpu"))
    first = list(load_batches(Noise(), SMALL, 32, 0, 0, alone))
    later = list(load_batches(Noise(), SMALL, 32, 4, 2, alone))
    assert torch.equal(before, torch.get_rng_state())
    assert len(first) == 6
    assert len(later) == 2
    for a, b in zip(first[4:], later, strict=True):
        assert a.indices == b.indices
        assert torch.equal(a.images, b.images)
    assert not torch.equal(first[0].images[0], first[3].images[0])


def test_the_first_epochs_may_have_smaller_views():
    recipe = SMALL.change(small_size=16, small_epochs=1)
    alone = Ranks(0, 1, torch.device("cpu"))
    batches = list(load_batches(Noise(), recipe, 32, 0, 0, alone))
    assert [batch.images.shape[2:] for batch in batches] == [(16, 16)] * 3 + [(32, 32)] * 3
    same = list(load_batches(Noise(), SMALL, 32, 0, 0, alone))
    assert [batch.indices for batch in batches] == [batch.indices for batch in same]
    assert torch.equal(batches[3].images, same[3].images)


def test_processes_share_every_batch():
    whole = list(load_batches(Noise(), SMALL, 32, 0, 0, Ranks(0, 1, torch.device("cpu"))))
    parts = [list(load_batches(Noise(), SMALL, 32, 0, 0, Ranks(rank, 2))) for rank in range(2)]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert batch.indices[0::2] == shares[0].indices
        assert batch.indices[1::2] == shares[1].indices
        assert torch.equal(batch.images[1::2], shares[1].images)
