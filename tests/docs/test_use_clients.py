"""docs/how-to/use-clients-outside-the-pipeline.md is a program that runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PAGE = "use-clients-outside-the-pipeline.md"
PLACE = '"pipeline_root/digits/FederatedSplit/federated_examples/5"'


@pytest.mark.slow
def test_code_of_the_page_runs_from_top_to_bottom(code_blocks, divide_digits) -> None:
    uri, _ = divide_digits("dirichlet", clients=20, alpha=1.0)
    blocks = code_blocks(PAGE, "python")
    assert PLACE in blocks[0]
    program = "\n".join(blocks).replace(PLACE, repr(uri))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"<20 clients of split 'train' in {uri}>" in done.stdout
    assert "alone, on the others:" in done.stdout
    assert "\n3 {'accuracy':" in done.stdout
