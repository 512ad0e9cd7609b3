"""Weighted matrix factorisation as pure functions of arrays: one objective and four ways to minimise it.

`objective` says what is minimised, `alternating` walks from users to tracks and back, `conjugate_gradient` and
`cholesky` solve the rows on the CPU, `batched` on any torch device, `dense` walks down the gradient instead.
"""
