import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from proganomaly.components.errors import SettingsError
from proganomaly.components.trainer.recognition import unsuspicious
from proganomaly.components.trainer.settings import LossSettings, TrainerSettings


@given(st.lists(st.floats(0, 10, width=32), min_size=1, max_size=12), st.floats(0, 0.99))
def test_the_images_of_the_highest_losses_weigh_nothing_and_the_mean_weight_is_one(losses, share):
    weights = unsuspicious(tf.constant(losses, tf.float32), share).numpy()
    dropped = weights == 0
    assert dropped.sum() == min(round(share * len(losses)), len(losses) - 1)
    np.testing.assert_allclose(weights.mean(), 1, rtol=1e-5)
    if dropped.any():
        values = np.array(losses, np.float32)
        assert values[dropped].min() >= values[~dropped].max()


@pytest.mark.parametrize("losses", [{"suspects": 0.1}, {"adversarial": "none"}])
def test_what_needs_the_head_is_refused_without_it(losses):
    with pytest.raises(SettingsError, match=r"needs networks.transforms"):
        TrainerSettings(losses=LossSettings(**losses))
