"""Who is in which group: JSON lines to groups.parquet."""

from pathlib import Path

import duckdb

from service.core.errors import DataError
from training.prepare.staging import CONTROL
from training.sources.sql import text

EXAMPLE = '{"group_id": "...", "user_ids": ["...", ...]}'


def write_groups(path: Path, out: Path) -> int:
    """Write group_id and user_ids of each group, ordered by group_id, and return how many there are.

    DataError for a file that cannot be read, a line that is no group, and a group that is there twice.
    """
    columns = "{group_id: 'VARCHAR', user_ids: 'VARCHAR[]'}"
    source = f"read_json({text(str(path))}, format = 'newline_delimited', columns = {columns})"
    with duckdb.connect() as connection:
        try:
            connection.execute(f"CREATE TABLE groups AS FROM {source}")
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            what = str(error).partition("\n")[0]
            raise DataError(f"{path} cannot be read as lines {EXAMPLE}: {what}") from error
        for problem, condition in {
            "has no group_id, or one with a control character": f"""
                coalesce(group_id, '') = '' OR regexp_matches(group_id, '{CONTROL}')""",
            "has no user_ids, or one that is empty": """
                coalesce(len(user_ids), 0) = 0 OR len(list_filter(user_ids, lambda x: x <> '')) < len(user_ids)""",
        }.items():
            _refuse(connection, path, f"SELECT rowid + 1, '{problem}' FROM groups WHERE {condition}", "line {} {}")
        twice = "SELECT group_id, count(*) FROM groups GROUP BY group_id HAVING count(*) > 1"
        _refuse(connection, path, twice, "group {!r} is there {} times")
        connection.execute(f"COPY (FROM groups ORDER BY group_id) TO {text(str(out))} (FORMAT parquet)")
        [(n_groups,)] = connection.execute("SELECT count(*) FROM groups").fetchall()
    return int(n_groups)


def _refuse(connection: duckdb.DuckDBPyConnection, path: Path, wrong: str, complaint: str) -> None:
    """Raise DataError for the first row of a query."""
    found = connection.execute(f"{wrong} ORDER BY 1 LIMIT 1").fetchone()
    if found is not None:
        raise DataError(f"{path}: {complaint.format(*found)}; a line is {EXAMPLE}")
