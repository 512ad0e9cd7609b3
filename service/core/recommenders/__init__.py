"""The registry of kinds: a kind is a way of scoring, not an algorithm.

A new algorithm whose artifact is of a known kind needs nothing here. A new kind is one file and one line below.
"""

from typing import Final

from service.core.artifacts import Artifact
from service.core.errors import ArtifactError
from service.core.recommender import Recommender
from service.core.recommenders.blend import Blend
from service.core.recommenders.factors import Factors
from service.core.recommenders.item_item import ItemItem
from service.core.recommenders.top_tracks import TopTracks

KINDS: Final[dict[str, type[Blend] | type[Factors] | type[ItemItem] | type[TopTracks]]] = {
    Blend.kind: Blend,
    Factors.kind: Factors,
    ItemItem.kind: ItemItem,
    TopTracks.kind: TopTracks,
}
"""Name of a kind, as manifests give it, to the class that scores it."""


def recommender_of(artifact: Artifact) -> Recommender:
    """Return the model that an artifact holds; ArtifactError for a kind that is not known."""
    manifest = artifact.manifest
    if manifest.kind not in KINDS:
        raise ArtifactError(f"{manifest.name} {manifest.version} is of kind {manifest.kind!r}, known: {sorted(KINDS)}")
    return KINDS[manifest.kind].from_artifact(artifact)
