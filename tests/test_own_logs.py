"""The README's way from one's own logs to a report, run as it is printed."""

from pathlib import Path

import pytest

from service.core.artifacts import ArtifactStore
from tests.documentation import ROOT, blocks, commands
from training.__main__ import main
from training.models import ALGORITHMS


def test_the_readmes_commands_lead_from_logs_to_models_and_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["sample", "--out", "my_logs", "--users", "40", "--tracks", "200", "--events", "4000"])
    (tmp_path / "my_logs/tracks.jsonl").rename("my_tracks.jsonl")
    for other in ("artists", "users"):
        (tmp_path / f"my_logs/{other}.jsonl").unlink()
    (block,) = (block for block in blocks(ROOT / "README.md", "sh") if "my_logs" in block)
    typed = [
        words[3:]
        for words in commands(ROOT / "README.md")
        if words[:3] == ["python", "-m", "training"] and " ".join(words) in block
    ]

    typed[-1] += ["--n-groups", "5"]  # the default of 100 groups is half a minute of work

    assert [main(words) for words in typed] == [0, 0, 0]
    assert ArtifactStore(Path("model_files/mine")).names() == sorted(ALGORITHMS)
    assert Path("reports/mine/report.html").stat().st_size > 0
