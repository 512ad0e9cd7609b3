"""Who is in which group: JSON lines to groups.parquet."""

from pathlib import Path

import duckdb

from training.groups import read_groups
from training.sources.sql import text


def write_groups(path: Path, out: Path) -> int:
    """Write group_id and user_ids of each group, ordered by group_id, and return how many there are.

    DataError as `read_groups` raises it.
    """
    groups = sorted(read_groups(path), key=lambda group: group.group_id)
    columns = [group.group_id for group in groups], [group.user_ids for group in groups]
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE groups AS SELECT unnest(?) AS group_id, unnest(?) AS user_ids", columns)
        connection.execute(f"COPY groups TO {text(str(out))} (FORMAT parquet)")
    return len(groups)
