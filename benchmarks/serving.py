"""The embedded model server over loopback beside a plain Flask server and beside the model itself, in one run.

    python benchmarks/serving.py                          # about 15 minutes
    python benchmarks/serving.py --quick                  # under 2 minutes: fewer cases, seconds and swaps
    python benchmarks/serving.py --output FILE.json

Closed-loop clients, all in one process of its own that does little but write and read sockets, ask for the digits CNN of
examples/digits, for a recurrent network over 80 characters, and for a model that takes a megabyte of floats: as REST JSON, as
REST base64 and over gRPC, with and without batching across requests. The goals below the table are ratios of figures of this
run; what else runs on the machine disturbs both sides. The last part swaps versions under load and watches the server's memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PARTS = Path(__file__).resolve().parent / "serving_load"
SMALL = ("digits-rest-b64", "digits-grpc", "text-rest-b64", "text-grpc")
CASES = (*SMALL, "megabyte-rest-json", "megabyte-rest-b64", "megabyte-grpc")
BATCHING = {"alone": [], "batched": ["--enable_batching"]}
FLASKS = ("waitress", "werkzeug")
_SWAP_CLIENTS, _UNTIL_ENDED = 4, 1e6
_FULL = {"clients": [1, 4, 16, 64], "cases": list(CASES), "seconds": 4.0, "repeat": 3, "swaps": 100}
_QUICK = {"clients": [1, 16], "cases": list(SMALL), "seconds": 2.0, "repeat": 1, "swaps": 15}
_OVERHEAD_MS, _OVER_FLASK, _OVER_ALONE, _GROWTH = 1.5, 3.0, 2.0, 1.05


def main() -> int:
    """Runs all cases and prints the table and the goals; 1 if a goal is missed."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="serving-", dir=options.folder) as work:
        folder = Path(work)
        subprocess.run([sys.executable, PARTS / "models.py", work], check=True, env=_environment())
        (folder / "models.config").write_text(_models_config(folder), encoding="utf-8")
        rows = _rounds(folder, options)
        direct = median(row["p50"] for row in rows if row["case"] == "direct")
        swaps = _swaps(folder, options.swaps)
    rows = _medians(rows)
    _print(rows)
    goals = _goals(rows, direct, swaps)
    for goal in goals:
        print(f"{'met   ' if goal['met'] else 'MISSED'}  {goal['what']}: {goal['value']} ({goal['wanted']})")
    if options.output:
        result = {"rows": rows, "goals": goals, "direct_p50_ms": direct, "swaps": swaps, "processors": os.cpu_count()}
        Path(options.output).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0 if all(goal["met"] for goal in goals) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="other defaults: few cases, seconds and swaps")
    parser.add_argument("--clients", type=int, nargs="+", help="numbers of clients (1 4 16 64)")
    parser.add_argument("--cases", nargs="+", choices=CASES, help="what is sent (all)")
    parser.add_argument("--seconds", type=float, help="that each case is measured (4)")
    parser.add_argument("--repeat", type=int, help="times that every case is run, in turn; medians are shown (3)")
    parser.add_argument("--swaps", type=int, help="hot swaps under load (100)")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where all files go; they are removed again")
    parser.add_argument("--output", help="JSON file for all figures")
    return parser


def _options() -> argparse.Namespace:
    options = _parser().parse_args()
    for name, value in (_QUICK if options.quick else _FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def _rounds(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every case of every server, one server at a time, as often as asked."""
    rows: list[dict[str, Any]] = []

    def measured(row: dict[str, Any]) -> None:
        print(json.dumps(row), file=sys.stderr, flush=True)
        rows.append(row)

    for _ in range(options.repeat):
        direct = [sys.executable, PARTS / "plain.py", "direct", str(folder), str(options.seconds)]
        measured({"server": "none", "case": "direct", "clients": 1, **_json_of(direct)})
        for server in (*BATCHING, *FLASKS):
            cases = [case for case in options.cases if server in BATCHING or case == "digits-rest-b64"]
            with _flask(folder, server) if server in FLASKS else _ours(folder, BATCHING[server]) as (_, ports):
                for case, clients in ((case, clients) for case in cases for clients in options.clients):
                    file = folder / ("digits-flask-b64" if server in FLASKS else case)
                    load = _load(file, ports["grpc" if case.endswith("grpc") else "rest"], clients, options.seconds)
                    measured({"server": server, "case": case, "clients": clients, **_json_of(load)})
    return rows


def _load(file: Path, port: int, clients: int, seconds: float) -> list[Any]:
    how = {"protocol": "grpc" if file.name.endswith("grpc") else "rest", "port": port, "clients": clients}
    how |= {"seconds": seconds, "warm_up": min(1.0, seconds / 2), "file": str(file)}
    return [sys.executable, PARTS / "client.py", json.dumps(how)]


@contextmanager
def _ours(folder: Path, flags: Sequence[str]) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, int]]]:
    ports = {"rest": _free_port(), "grpc": _free_port()}
    command = [sys.executable, "-m", "serving", "serve", f"--model_config_file={folder / 'models.config'}"]
    command += [f"--rest_api_port={ports['rest']}", f"--port={ports['grpc']}", "--file_system_poll_wait_seconds=0.1", *flags]
    with _process(command, f"http://127.0.0.1:{ports['rest']}/readyz") as process:
        yield process, ports


@contextmanager
def _flask(folder: Path, server: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, int]]]:
    port = _free_port()
    command = [sys.executable, str(PARTS / "plain.py"), "flask", str(folder), str(port), server]
    with _process(command, f"http://127.0.0.1:{port}/") as process:
        yield process, {"rest": port}


@contextmanager
def _process(command: Sequence[str], url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers at `url`, whose word is shown only if it ends by itself."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=ROOT, env=_environment(), stdout=said, stderr=said)
        try:
            while not _answers(url):
                if process.poll() is not None:
                    said.seek(0)
                    raise SystemExit(f"error: a server ended with {process.returncode}: {said.read().decode()[-2000:]}")
                time.sleep(0.1)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except urllib.error.HTTPError as error:
        return error.code == 404  # the plain server has no other page
    except OSError:
        return False


def _swaps(folder: Path, count: int) -> dict[str, Any]:
    """Swaps the digits' version under load and returns the server's memory in MiB after a fifth and after all of the swaps."""
    base, memory = folder / "digits", {}
    with _ours(folder, BATCHING["batched"]) as (process, ports):
        status = f"http://127.0.0.1:{ports['rest']}/v1/models/digits"
        load = _load(folder / "digits-rest-b64", ports["rest"], _SWAP_CLIENTS, _UNTIL_ENDED)
        with subprocess.Popen(load, stdout=subprocess.PIPE, env=_environment()) as clients:
            for swap in range(1, count + 1):
                _swap(base, swap, status)
                if swap in (count // 5, count):
                    memory[swap] = _resident(process.pid)
                    print(json.dumps({"swaps": swap, "MiB": memory[swap]}), file=sys.stderr, flush=True)
            clients.send_signal(signal.SIGTERM)
            seen = json.loads(clients.communicate()[0])
    early, late = memory.values()
    return {"swaps": count, "early_mib": early, "late_mib": late, **seen}


def _swap(base: Path, swap: int, status: str) -> None:
    """Puts the next version there, waits until it answers and the one before is gone, and removes that."""
    shutil.copytree(base / str(swap), base / f".{swap + 1}")
    os.rename(base / f".{swap + 1}", base / str(swap + 1))
    while True:
        with urllib.request.urlopen(status, timeout=60) as reply:
            states = {entry["version"]: entry["state"] for entry in json.load(reply)["model_version_status"]}
        if states.get(str(swap + 1)) == "AVAILABLE" and states.get(str(swap)) == "END":
            break
        time.sleep(0.02)
    shutil.rmtree(base / str(swap))


def _resident(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) >> 10


def _medians(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for all runs of a case: the median of each figure, the sum of the errors."""
    merged: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        merged.setdefault((row["server"], row["case"], row["clients"]), []).append(row)
    names = ("per_second", "p50", "p95", "p99")
    return [
        {
            **same[0],
            **{name: round(median(row[name] for row in same), 3) for name in names if name in same[0]},
            "errors": sum(row.get("errors", 0) for row in same),
        }
        for same in merged.values()
    ]


def _goals(rows: list[dict[str, Any]], direct: float, swaps: dict[str, Any]) -> list[dict[str, Any]]:
    found = {(row["server"], row["case"], row["clients"]): row for row in rows}

    def speed(server: str, case: str) -> float:
        return float(found[server, case, 16]["per_second"]) if (server, case, 16) in found else float("nan")

    goals = []
    for case in SMALL:
        if ("batched", case, 16) in found:
            ratio = speed("batched", case) / speed("alone", case)
            goals.append(
                _goal(f"{case}, 16 clients: batched over alone", ratio, ratio >= _OVER_ALONE, f"at least {_OVER_ALONE}")
            )
    flask = max(speed(server, "digits-rest-b64") for server in FLASKS)
    ratio = speed("batched", "digits-rest-b64") / flask
    goals.append(
        _goal("digits-rest-b64, 16 clients: ours over the faster Flask", ratio, ratio >= _OVER_FLASK, f"at least {_OVER_FLASK}")
    )
    for server in BATCHING:
        over = found[server, "digits-grpc", 1]["p50"] - direct
        goals.append(
            _goal(f"digits-grpc, {server}: ms over a direct call at p50", over, over < _OVERHEAD_MS, f"under {_OVERHEAD_MS}")
        )
    growth = swaps["late_mib"] / swaps["early_mib"]
    what = f"memory after {swaps['swaps']} swaps over that after {swaps['swaps'] // 5}"
    goals.append(_goal(what, growth, growth <= _GROWTH, f"at most {_GROWTH}"))
    errors = swaps["errors"] + sum(row["errors"] for row in rows if row["server"] in BATCHING)
    return [*goals, _goal("errors, swaps included", errors, errors == 0, "none")]


def _goal(what: str, value: float, met: bool, wanted: str) -> dict[str, Any]:
    return {"what": what, "value": round(value, 3), "met": bool(met), "wanted": wanted}


def _print(rows: list[dict[str, Any]]) -> None:
    print("| server | request | clients | requests/s | p50 ms | p95 ms | p99 ms | errors |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        speed = f"{row['per_second']:,.0f}" if "per_second" in row else ""
        cells = [row["server"], row["case"], str(row["clients"]), speed]
        cells += [f"{row[point]:.2f}" if point in row else "" for point in ("p50", "p95", "p99")]
        print("| " + " | ".join([*cells, str(row["errors"])]) + " |")


def _models_config(folder: Path) -> str:
    entry = 'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" }}'
    entries = [entry.format(name=name, path=folder / name) for name in ("digits", "text", "megabyte")]
    return "model_config_list { " + " ".join(entries) + " }\n"


def _json_of(command: Sequence[Any]) -> dict[str, Any]:
    done = subprocess.run(command, env=_environment(), stdout=subprocess.PIPE, check=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _environment() -> dict[str, str]:
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
