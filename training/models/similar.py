"""Similar tracks: whose listeners are the same, and where few have listened, who made them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue
from scipy.sparse import csr_array

from training.data import PreparedData
from training.models.algorithm import Algorithm, Count, Fitted, Progress
from training.neighbours import arrays_of, row_numbers, stacked
from training.recordings import UNLABELLED, Recordings, artist_of, indicator, labels_of

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_ROWS_AT_ONCE: Final = 128
_LEAST_PRIOR: Final = 1e-6
"""Of one artist, and what one album has more: too little to move anything, enough for a track that nobody played."""
_RESERVED: Final = 10
"""Places of a list that may go to tracks which no list would show."""


class Similar(Algorithm):
    """B_ij = (common_ij + shrinkage * prior_ij) / (sqrt(n_i n_j) + shrinkage), for n_i the listeners of track i.

    The cosine of the listeners, shrunk not to 0 but towards what is expected of two tracks of one album or artist,
    so a track that nobody has played has neighbours too, and behind them those of its neighbours. Releases of one
    recording count as one. Each track keeps its nearest, and its nearest of other artists, so that either list can be
    read from the artifact.
    """

    kind: ClassVar[str] = "item_item"
    whole_catalogue: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Mapping[str, JsonValue]]] = {"original": {"content": 0.0, "shrinkage": 20.0}}

    neighbours: Count = 100
    """Nearest tracks kept of each track, and as many of other artists."""
    shrinkage: float = Field(default=80.0, gt=0)
    """Listeners that the prior is worth."""
    content: float = Field(default=0.5, ge=0)
    """prior_ij of two tracks of one album (or artist) over the mean cosine of such tracks."""

    def fit(
        self,
        data: PreparedData,
        *,
        seed: int,  # noqa: ARG002, the signature is common to all algorithms; nothing here is drawn
        device: str,  # noqa: ARG002
        progress: Progress,
    ) -> Fitted:
        """Return the neighbours of each track, and which share of the recordings some list shows."""
        scores, catalogue = data.interactions.matrix, data.catalogue
        recordings = Recordings.of(catalogue, np.bincount(scores.indices[scores.data > 0], minlength=scores.shape[1]))
        played = recordings.played(scores)
        artist_of_track = labels_of([artist_of(info) for info in catalogue])
        artists = recordings.labelled(artist_of_track)
        albums = recordings.labelled(labels_of([info.album_id for info in catalogue]))
        cosines = {"artist": mean_cosine(played, artists), "album": mean_cosine(played, albums)}
        artist_prior = max(self.content * cosines["artist"], _LEAST_PRIOR)
        album_prior = max(self.content * cosines["album"], artist_prior + _LEAST_PRIOR)
        kin = [(artists, artist_prior), (albums, album_prior)]
        listeners = np.asarray(played.sum(axis=0), dtype=np.float64)
        made_by = artist_of_track[recordings.shown]
        blocks = []
        for begin, block in similarity_blocks(played, kin, self.shrinkage):
            own = made_by[begin : begin + block.shape[0]]
            blocks.append(cut(best_first(block, listeners), own, made_by, self.neighbours))
            progress(begin + block.shape[0], len(listeners))
        ranked = shown_somewhere(stacked(blocks), self.neighbours)
        ranked = with_borrowed(ranked, listeners, made_by, self.neighbours)
        reachable = np.isin(np.arange(len(listeners)), first_columns(ranked, self.neighbours)).mean()
        rows = ranked[recordings.of_track]
        rows = csr_array((rows.data, recordings.shown[rows.indices], rows.indptr), shape=(scores.shape[1],) * 2)
        return Fitted(
            arrays=arrays_of(rows, (scores.data > 0).astype(np.float32)),
            metrics={
                "recordings": float(len(listeners)),
                "reachable": float(reachable),
                **{f"mean_{label}_cosine": cosine for label, cosine in cosines.items()},
            },
        )


def mean_cosine(played: csr_array, groups: csr_array) -> float:
    """Return sum common_ij / sum sqrt(n_i n_j) over all pairs i != j of one group, 0 where there is no such pair.

    Played is (users, tracks), groups (tracks, groups), both ones: the sums over pairs are squares of sums.
    """
    listeners = np.asarray(played.sum(axis=0), dtype=np.float64)
    alone = float((listeners @ groups).sum())
    common = float(np.square((played @ groups).data, dtype=np.float64).sum()) - alone
    possible = float(np.square(np.sqrt(listeners) @ groups).sum()) - alone
    return common / possible if possible > 1e-9 * alone and common > 0 else 0.0


def similarity_blocks(
    played: csr_array, kin: Sequence[tuple[csr_array, float]], shrinkage: float
) -> Iterator[tuple[int, csr_array]]:
    """Yield the first track of each block and its rows of B, (tracks at once, tracks), without the diagonal.

    `kin` are groups of tracks, (tracks, groups) of ones, with the prior of two tracks of one group; the highest counts.
    """
    by_track = played.T.tocsr()
    roots = np.sqrt(np.asarray(played.sum(axis=0), dtype=np.float64))
    for begin in range(0, len(roots), _ROWS_AT_ONCE):
        block = slice(begin, begin + _ROWS_AT_ONCE)
        prior = csr_array((len(roots[block]), len(roots)), dtype=np.float64)
        for groups, value in kin:
            related = groups[block] @ groups.T
            related.data = np.full(len(related.data), value)
            prior = prior.maximum(related)
        evidence = ((by_track[block] @ played).astype(np.float64) + shrinkage * prior).tocoo()
        own = evidence.row + begin
        apart = (own != evidence.col) & (evidence.data > 0)
        rows, columns, own = evidence.row[apart], evidence.col[apart], own[apart]
        values = evidence.data[apart] / (roots[own] * roots[columns] + shrinkage)
        yield begin, csr_array((values, (rows, columns)), shape=evidence.shape)


def best_first(block: csr_array, listeners: Floats) -> csr_array:
    """Return rows with their highest entries first; of equals the more popular."""
    order = np.lexsort((block.indices, -listeners[block.indices], -block.data, row_numbers(block)))
    return csr_array((block.data[order], block.indices[order], block.indptr), shape=block.shape)


def cut(ranked: csr_array, own: Ints, made_by: Ints, size: int) -> csr_array:
    """Return of each ranked row its first `size` and as many that are not by its `own` artist, (rows,).

    A few more of other artists are kept, since `shown_somewhere` may take some away.
    """
    rows = row_numbers(ranked)
    foreign = (own[rows] != made_by[ranked.indices]) | (own[rows] == UNLABELLED)
    before = np.cumsum(foreign) - foreign
    foreign_before = before - before[ranked.indptr[rows]] if len(rows) else before
    place = np.arange(len(rows)) - ranked.indptr[rows]
    kept = (place < size) | (foreign & (foreign_before < size + _RESERVED))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows[kept], minlength=ranked.shape[0]))])
    return csr_array((ranked.data[kept], ranked.indices[kept], indptr), shape=ranked.shape)


def first_columns(ranked: csr_array, size: int) -> Ints:
    """Return the columns of the first `size` entries of every row, one row after another."""
    place = np.arange(len(ranked.indices)) - np.repeat(ranked.indptr[:-1], np.diff(ranked.indptr))
    columns: Ints = ranked.indices[place < size].astype(np.int64)
    return columns


def shown_somewhere(ranked: csr_array, size: int) -> csr_array:
    """Return ranked rows in which every track that has a neighbour is among the first `size` of some row.

    A track that no row shows takes over a place, and its score, in the row of its nearest neighbour: the lowest of the
    last `_RESERVED` whose track another row shows too.
    """
    columns = ranked.indices.copy()
    times_shown = np.bincount(first_columns(ranked, size), minlength=ranked.shape[1])
    reserved = range(size - 1, max(size - 1 - _RESERVED, 0), -1)
    for track in np.flatnonzero(times_shown == 0).tolist():
        for host in ranked.indices[ranked.indptr[track] : ranked.indptr[track + 1]].tolist():
            row = columns[ranked.indptr[host] : ranked.indptr[host + 1]]
            place = next((place for place in reserved if times_shown[row[place]] > 1), None)
            if place is None:
                continue
            times_shown[[row[place], track]] += [-1, 1]
            row[row == track] = row[place]  # further down, among those of other artists
            row[place] = track
            break
    return csr_array((ranked.data, columns, ranked.indptr), shape=ranked.shape)


def with_borrowed(ranked: csr_array, listeners: Floats, made_by: Ints, size: int) -> csr_array:
    """Return ranked rows in which those of tracks that nobody has played go on with what their neighbours name."""
    heard, unheard = np.flatnonzero(listeners > 0), np.flatnonzero(listeners == 0)
    blocks = [ranked[heard]]
    for begin in range(0, len(unheard), _ROWS_AT_ONCE):
        tracks = unheard[begin : begin + _ROWS_AT_ONCE]
        own = ranked[tracks]
        further = best_first(borrowed(own, tracks, ranked, listeners), listeners)
        blocks.append(cut(continued(own, further), made_by[tracks], made_by, size))
    return stacked(blocks)[np.argsort(np.concatenate([heard, unheard]))]


def borrowed(own: csr_array, tracks: Ints, ranked: csr_array, listeners: Floats) -> csr_array:
    """Return what the played neighbours of tracks c name and their `own` rows of B do not, (tracks c, tracks).

    Track j gets min_i B_ci * sum_i B_ci B_ij / sum_i B_ci: the mean of its scores with the played neighbours i of c,
    at most 1, times the lowest score in the own row of c, behind which it comes.
    """
    lenders = csr_array((own.data * (listeners[own.indices] > 0), own.indices, own.indptr), shape=own.shape)
    known = own + indicator(np.arange(len(tracks)), tracks, own.shape)
    named = lenders @ ranked
    named = (named - named.multiply(known > 0)).tocoo()
    new = named.data > 0
    rows, columns = named.row[new], named.col[new]
    lowest = own.data[own.indptr[rows + 1] - 1]
    values = lowest * np.minimum(named.data[new] / lenders.sum(axis=1)[rows], 1)
    return csr_array((values, (rows, columns)), shape=own.shape)


def continued(ranked: csr_array, further: csr_array) -> csr_array:
    """Return each ranked row with the entries of another one behind its own."""
    order = np.argsort(np.concatenate([row_numbers(ranked), row_numbers(further)]), kind="stable")
    values = np.concatenate([ranked.data, further.data])[order]
    columns = np.concatenate([ranked.indices, further.indices])[order]
    return csr_array((values, columns, ranked.indptr + further.indptr), shape=ranked.shape)
