"""How long the questions of `python -m lineage` take, as processes, by the size of the store.

    python benchmarks/lineage.py                    # 20, 200 and 2,000 runs
    python benchmarks/lineage.py --runs 20 200      # a quick one

The stores are those of tests/lineage: runs of two pipelines in one sqlite file, some of them cached, failed or dead, with
served versions. Each question is asked five times; the median counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
QUESTIONS = {
    "show": ["show", "digits"],
    "show an old model": ["show", "run:20260101-000000.000000"],
    "list": ["list"],
    "list --limit 0": ["list", "--limit", "0"],
    "impact of data": ["impact", "id:1"],
    "diff": ["diff", "digits", "reviews"],
}
_TIMES = 5


def main() -> int:
    """Makes the stores, asks, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[20, 200, 2000])
    sizes = parser.parse_args().runs
    print(f"{'seconds':<20}" + "".join(f"{size:>12,}" for size in sizes) + "  runs")
    with tempfile.TemporaryDirectory(prefix="lineage-") as work:
        stores = [_store(Path(work, str(size)), size) for size in sizes]
        for name, arguments in QUESTIONS.items():
            print(f"{name:<20}" + "".join(f"{_seconds(arguments, store):>12.2f}" for store in stores), flush=True)
    return 0


def _store(folder: Path, runs: int) -> Any:
    """The places of a new store."""
    folder.mkdir()
    spec = importlib.util.spec_from_file_location("lineage_stores", ROOT / "tests" / "lineage" / "conftest.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module._Many(folder, runs).build().places


def _seconds(arguments: list[str], places: Any) -> float:
    command = [
        sys.executable,
        "-m",
        "lineage",
        *arguments,
        "--pipeline-root",
        places.root,
        "--serving-root",
        places.serving_root,
    ]
    seconds = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


if __name__ == "__main__":
    sys.exit(main())
