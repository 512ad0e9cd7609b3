"""Tracks that are in the catalogue and that nobody has played yet."""

from dataclasses import replace
from pathlib import Path

from scipy.sparse import csr_array

from service.core.ids import IdIndex
from training.data import PreparedData, read_tracks
from training.recordings import artist_of


def with_cold_tracks(data: PreparedData, folder: Path | str) -> PreparedData:
    """Return prepared data with the cold tracks of its folder as further columns without listeners.

    Only those with an artist or an album: of any other nothing is known, and where no catalogue was given,
    tracks.parquet names what only held-out listening contains.
    """
    known = data.interactions
    cold = {
        track_id: info
        for track_id, info in read_tracks(Path(folder)).items()
        if track_id not in known.tracks and (info.album_id is not None or artist_of(info) is not None)
    }
    ids = sorted(cold)
    tracks = IdIndex([*known.tracks, *ids])
    matrix = known.matrix
    wider = csr_array((matrix.data, matrix.indices, matrix.indptr), shape=(matrix.shape[0], len(tracks)))
    return replace(
        data,
        interactions=replace(known, tracks=tracks, matrix=wider),
        catalogue=[*data.catalogue, *(cold[track_id] for track_id in ids)],
    )
