import math

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from tests.wmf.worlds import prepared
from training.data import Pairs
from training.factors import Factors
from training.models.algorithm import silent
from training.models.softmax import Softmax
from training.softmax import shared, uniform
from training.softmax.candidates import Candidates
from training.softmax.shared import Negatives, Positives, Settings, draw_negatives, loss_gradient

SETTINGS = Settings(
    dim=4,
    negatives=3,
    competitors=10,
    batch_size=2,
    learning_rate=0.02,
    user_learning_rate=0.1,
    learning_rate_decay=0.9,
    regularization=1.0,
    frequency_exponent=0.5,
)


def obvious_loss(users, items, heard, negatives):
    """The loss of one batch, pair by pair: each positive against the negatives that its user has not heard."""
    total = torch.zeros((), dtype=torch.float64)
    for x, own in zip(users, heard, strict=True):
        rivals = [
            (x @ items[track]) + weight
            for track, weight in zip(negatives.tracks.tolist(), negatives.log_weights, strict=True)
            if track not in own
        ]
        for track in own:
            logits = torch.stack([x @ items[track], *rivals])
            total = total - torch.log_softmax(logits, dim=0)[0]
    return total


def test_the_gradient_is_that_of_the_loss_written_out_pair_by_pair():
    heard = [[0, 2, 5], [], [1], [3, 4]]
    random = torch.Generator().manual_seed(1)
    users = torch.randn(4, 3, generator=random, dtype=torch.float64, requires_grad=True)
    items = torch.randn(7, 3, generator=random, dtype=torch.float64, requires_grad=True)
    negatives = Negatives(torch.tensor([1, 2, 4, 6]), torch.tensor([0.3, -1.0, 0.0, 2.0], dtype=torch.float64))
    positives = Positives(torch.tensor([0, 0, 0, 2, 3, 3]), torch.tensor([0, 2, 5, 1, 3, 4]))
    loss = obvious_loss(users, items, heard, negatives)
    loss.backward()

    gradient = loss_gradient(users.detach(), items.detach(), positives, negatives)

    item_gradient = torch.zeros_like(items)
    item_gradient.index_add_(0, positives.tracks, gradient.positives)
    item_gradient.index_add_(0, negatives.tracks, gradient.negatives)
    torch.testing.assert_close(gradient.loss, loss.detach())
    torch.testing.assert_close(gradient.users, users.grad)
    torch.testing.assert_close(item_gradient, items.grad)


def test_negatives_stand_for_the_competitors_on_average_however_popular_a_track_is():
    listeners = np.array([90, 9, 1, 0])
    heard = np.repeat(np.arange(4, dtype=np.int32), listeners)
    settings = SETTINGS._replace(competitors=2)
    random = np.random.default_rng(0)
    stood_for = np.zeros(4)

    for _ in range(4_000):
        negatives = draw_negatives(heard, listeners, settings, random, "cpu")
        stood_for[negatives.tracks.numpy()] += np.exp(negatives.log_weights.numpy())

    assert stood_for / 4_000 == pytest.approx([0.5] * 4, abs=0.05)  # 2 competitors, 4 tracks


def test_a_user_without_positives_is_left_with_popularity():
    matrix = csr_array(np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=np.float32))

    epochs = shared.descend(matrix, SETTINGS, np.random.default_rng(0), "cpu")
    factors, _ = [next(epochs) for _ in range(5)][-1]

    assert factors.users[2].tolist() == [0, 0, 0, 1]
    scores = factors.items @ factors.users[2]
    assert np.argsort(-scores).tolist() == [0, 1, 2]  # heard by 2, 1 and 0


def test_the_original_descent_follows_the_gradient_of_the_mean_loss_of_a_batch():
    random = np.random.default_rng(0)
    users, items = (random.normal(size=(n, 3)).astype(np.float32) for n in (4, 6))
    rows = np.array([0, 1, 1, 3, 2], dtype=np.int32)
    candidates = random.integers(6, size=(5, 4), dtype=np.int32)
    x, y = (torch.tensor(side, requires_grad=True) for side in (users, items))
    expected = []
    for batch in (slice(0, 3), slice(3, 5)):
        logits = (x[rows[batch], None] * y[candidates[batch]]).sum(dim=2)
        losses = -torch.log_softmax(logits, dim=1)[:, 0]
        expected += losses.tolist()
        gradients = torch.autograd.grad(losses.mean(), (x, y))
        with torch.no_grad():
            x -= 0.5 * gradients[0]
            y -= 0.5 * gradients[1]

    loss = uniform._epoch(users, items, rows, candidates, 3, np.float32(0.5))

    assert loss == pytest.approx(np.mean(expected), rel=1e-5)
    np.testing.assert_allclose(users, x.detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(items, y.detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("sampling", ["shared", "uniform"])
def test_what_is_held_out_changes_nothing_of_what_an_epoch_learns(sampling):
    train = csr_array(np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1]], dtype=np.float32))
    held_out = np.array([[0, 0, 1], [0, 1, 1], [0, 0, 0]])
    model = Softmax(sampling=sampling, dim=4, epochs=1)

    with_, without = (
        model.fit(prepared(train, rows), seed=0, device="cpu", progress=silent).arrays for rows in (held_out, None)
    )

    for side in ("user_factors", "item_factors"):
        np.testing.assert_array_equal(with_[side], without[side])


def test_candidates_leave_out_what_cannot_be_judged():
    pairs = Pairs(np.array([0, -1, 1, 1]), np.array([2, 0, -1, 0]), np.array([1, 1, 1, 0], dtype=np.float32))

    candidates = Candidates.draw(pairs, tracks=3, negatives=5, random=np.random.default_rng(0))

    assert candidates.user_rows.tolist() == [0]
    assert candidates.track_rows.shape == (1, 6)
    assert candidates.track_rows[0, 0] == 2


def test_a_tie_for_the_best_candidate_is_shared():
    factors = Factors(np.ones((1, 1), dtype=np.float32), np.array([[1], [1], [0], [2]], dtype=np.float32))
    candidates = Candidates(np.array([0, 0, 0]), np.array([[0, 1, 2], [3, 0, 1], [2, 2, 0]]))

    judgement = candidates.judge(factors)

    assert judgement.accuracy == pytest.approx((1 / 2 + 1 + 0) / 3)
    first, second, third = 2 * math.e + 1, math.e**2 + 2 * math.e, 2 + math.e  # sums of e^logit
    assert judgement.loss == pytest.approx((math.log(first) - 1 + math.log(second) - 2 + math.log(third)) / 3)
