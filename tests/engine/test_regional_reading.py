"""Cross-attention by regions gives what lowering all scores by the logarithms of the shares gives."""
from __future__ import annotations

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0

from blender_sd.engine.denoise import regional_attention
from blender_sd.engine.denoise.regional_norms import Norms
from blender_sd.engine.denoise.shares import Shares

SIDE, WORDS = 8, 5


def shares(soft):
    maps = torch.zeros(2, SIDE, SIDE)
    maps[0, :4] = 1
    maps[1, 4:, 3:] = 1
    if soft:
        maps[0, 3], maps[1, 3] = 0.25, 0.5
        maps[1, 6, 6] = 0.3
    return Shares(maps, (SIDE, SIDE)).with_rest()


class Net(torch.nn.Module):
    """A network of one cross-attention."""

    def __init__(self):
        super().__init__()
        self.config = type("Config", (), {})()
        self.reads = Attention(16, 12, heads=4, dim_head=4)

    def forward(self, hidden, text):
        return self.reads(hidden, encoder_hidden_states=text)


@pytest.mark.parametrize("soft", [False, True])
@torch.no_grad()
def test_each_place_reads_as_with_a_mask_of_all_scores(soft):
    torch.manual_seed(1)
    net, hidden, text = Net(), torch.randn(2, SIDE * SIDE, 16), torch.randn(2, 3 * WORDS, 12)
    whole = shares(soft)
    mask = whole.maps.flatten(1).log().T.repeat_interleave(WORDS, 1)[None].repeat(8, 1, 1)
    wanted = net.reads(hidden, encoder_hidden_states=text, attention_mask=mask)
    for processor in (AttnProcessor2_0(), AttnProcessor()):  # the other one does not ask torch's own attention
        net.reads.set_processor(processor)
        with regional_attention.masked([net], regional_attention.Words(2), whole, Norms([net], whole)):
            made = net(hidden, text)
        assert torch.allclose(made, wanted, atol=1e-5)
    assert not torch.allclose(net(hidden, text), wanted, atol=1e-2)
    assert "forward" not in vars(net.reads)


@torch.no_grad()
def test_words_of_other_regions_change_nothing_and_no_place_is_left_out():
    torch.manual_seed(2)
    net, hidden, text = Net(), torch.randn(1, SIDE * SIDE, 16), torch.randn(1, 3 * WORDS, 12)
    whole = shares(soft=False)
    other = text.clone()
    other[:, 2 * WORDS:] += 1  # the second region's
    with regional_attention.masked([net], regional_attention.Words(2), whole, Norms([net], whole)):
        changed = (net(hidden, text) - net(hidden, other)).abs().amax(-1)[0] > 1e-4
    assert torch.equal(changed.reshape(SIDE, SIDE), whole.maps[2] == 1)


@torch.no_grad()
def test_what_is_no_picture_is_read_as_before():
    torch.manual_seed(3)
    net, hidden, text = Net(), torch.randn(1, 7, 16), torch.randn(1, 3 * WORDS, 12)
    wanted, whole = net(hidden, text), shares(soft=False)
    with regional_attention.masked([net], regional_attention.Words(2), whole, Norms([net], whole)):
        assert torch.equal(net(hidden, text), wanted)
