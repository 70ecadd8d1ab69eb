"""Global attention over fewer keys, against the formula."""

from __future__ import annotations

import pytest
import torch
from little_model import little_model

from page4d.model.layers import NUM_SPECIAL, Attention
from page4d.model.mask import key_bias


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("all_rows", [False, True])
def test_fewer_keys_are_all_keys_with_some_forbidden(biased: bool, all_rows: bool) -> None:
    torch.manual_seed(0)
    frames, grid = 3, (3, 5)
    attention = Attention(16, 2, qk_norm=True, bias_all_rows=all_rows)
    looked_at = torch.zeros(frames, NUM_SPECIAL + 15, dtype=torch.bool)
    looked_at[0], looked_at[:, :NUM_SPECIAL] = True, True
    looked_at[:, NUM_SPECIAL:].unflatten(1, grid)[:, ::2, ::2] = True
    x = torch.randn(1, looked_at.numel(), 16)
    bias = key_bias(torch.rand(1, frames, 15) - 0.5, 1.0) if biased else None
    q, k, v = attention.queries_keys_values(x, None)
    logits = q @ k.mT / 8**0.5
    if bias is not None:
        rows = torch.zeros(frames, NUM_SPECIAL + 15)
        rows[:, : None if all_rows else NUM_SPECIAL] = 1
        logits = logits + rows.flatten()[:, None] * bias[:, None, None]
    logits = logits.masked_fill(~looked_at.flatten(), -torch.inf)
    expected = attention.proj((logits.softmax(-1) @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(x, None, bias, frames, grid), expected, rtol=1e-4, atol=1e-5)


def test_a_bias_on_special_rows_needs_the_number_of_frames() -> None:
    attention = Attention(16, 2, qk_norm=True)
    x, bias = torch.randn(1, 2 * (NUM_SPECIAL + 6), 16), key_bias(torch.rand(1, 2, 6) - 0.5, 1.0)
    with pytest.raises(ValueError, match="number of frames"):
        attention(x, None, bias)


def test_fewer_keys_change_nothing_of_one_frame_and_little_of_many() -> None:
    torch.manual_seed(0)
    model = little_model().eval()
    images = torch.rand(1, 3, 3, 32, 64)
    with torch.no_grad():
        whole = [model(images[:, :count])["depth"] for count in (1, 3)]
        model.aggregator.fewer_keys = True
        fewer = [model(images[:, :count])["depth"] for count in (1, 3)]
    torch.testing.assert_close(fewer[0], whole[0])
    assert not torch.allclose(fewer[1], whole[1], rtol=1e-6)
    torch.testing.assert_close(fewer[1], whole[1], rtol=0.5, atol=0.1)
