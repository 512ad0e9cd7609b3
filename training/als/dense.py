"""The gradient way: every cell of the user x track grid, observed or not, in batches."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter

from training.als.objective import Objective
from training.factors import Factors


class Descent(NamedTuple):
    """How AdamW walks (Loshchilov & Hutter 2019)."""

    learning_rate: float = 0.005
    weight_decay: float = 0.005
    """Pull towards 0 beside the objective's own regularisation."""
    batch_size: int = 512
    """Cells of the grid a step."""


def descend(objective: Objective, start: Factors, settings: Descent, seed: int, device: str) -> Iterator[Factors]:
    """Yield the factors after every epoch over all cells in random order, without end."""
    users, items = (Parameter(torch.from_numpy(side).to(device, copy=True)) for side in start)
    step = make_step(objective, users, items, settings)
    generator = torch.Generator().manual_seed(seed)
    while True:
        for batch in torch.split(torch.randperm(len(users) * len(items), generator=generator), settings.batch_size):
            step(batch.to(device))
        yield Factors(*(side.detach().cpu().numpy().copy() for side in (users, items)))


def make_step(objective: Objective, users: Parameter, items: Parameter, settings: Descent) -> Callable[[Tensor], None]:
    """Return a function that takes one step for the cells (n,) it is given, numbered user by user.

    The mean over all cells of c (p - x . y)^2 + lambda_u |x|^2 / n_items + lambda_i |y|^2 / n_users is the objective
    over the number of cells, so batches of cells give its gradient without bias.
    """
    n_users, n_items = len(users), len(items)
    confidence, preference = (table.to(users.device).flatten() for table in grid(objective))
    user_ridge = torch.from_numpy(objective.by_user.regularization).to(users.device) / n_items
    item_ridge = torch.from_numpy(objective.by_item.regularization).to(users.device) / n_users
    optimizer = torch.optim.AdamW([users, items], lr=settings.learning_rate, weight_decay=settings.weight_decay)

    def step(cells: Tensor) -> None:
        user_rows, item_rows = cells // n_items, cells % n_items
        x, y = users[user_rows], items[item_rows]
        error = confidence[cells] * (preference[cells] - (x * y).sum(dim=1)).square()
        ridge = user_ridge[user_rows] * x.square().sum(dim=1) + item_ridge[item_rows] * y.square().sum(dim=1)
        optimizer.zero_grad()
        torch.autograd.backward((error + ridge).mean())
        optimizer.step()

    return step


def grid(objective: Objective) -> tuple[Tensor, Tensor]:
    """Return c and p of every cell, (users, items) each."""
    cells = objective.by_user
    confidence = torch.full(objective.shape, objective.unobserved_weight)
    preference = torch.zeros_like(confidence)
    users = torch.arange(len(confidence)).repeat_interleave(torch.from_numpy(cells.indptr).diff())
    where = users, torch.from_numpy(cells.columns).long()
    confidence[where] += torch.from_numpy(cells.excess)
    preference[where] = torch.from_numpy(cells.target > 0).float()
    return confidence, preference
