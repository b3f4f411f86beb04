"""Many reports: how long `residency deidentify IN -o OUT` takes, and how much memory, by size and by processes.

    python bench/bulk.py REPORTS.jsonl [--sizes 2000 8000] [--workers 1 2] [--entities]

In: reports with ``text`` and ``patient`` (JSON lines); they are repeated, as other patients, to the sizes asked for.
Out: a line for each run: seconds, reports a second, the largest memory of the main process and of all together.

Memory is the sum of proportional set sizes, sampled: a page that two processes share counts half for each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

SAMPLED_EVERY = 0.5  # seconds


def main() -> None:
    """Make the inputs, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2000, 8000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--entities", action="store_true")
    arguments = parser.parse_args()
    options = ["--entities"] if arguments.entities else []
    print(f"{'reports':>8s}{'processes':>11s}{'seconds':>9s}{'reports/s':>11s}{'main MB':>9s}{'all MB':>8s}")
    with tempfile.TemporaryDirectory() as folder:
        for size in arguments.sizes:
            source = Path(folder) / f"{size}.jsonl"
            repeat(arguments.reports, size, source)
            for workers in arguments.workers:
                seconds, own, together = timed(source, Path(folder) / "out.jsonl", workers, options)
                print(
                    f"{size:8d}{workers:11d}{seconds:9.1f}{size / seconds:11.1f}{own:9.0f}{together:8.0f}", flush=True
                )


def repeat(reports: Path, size: int, target: Path) -> None:
    """``size`` records; every round through the reports is of other patients."""
    lines = [json.loads(line) for line in reports.read_text(encoding="utf-8").splitlines()]
    with target.open("w", encoding="utf-8") as file:
        for number in range(size):
            turn, record = divmod(number, len(lines))
            record = {"id": number, "text": lines[record]["text"], "patient": f"{lines[record]['patient']}-{turn}"}
            file.write(json.dumps(record) + "\n")


def timed(source: Path, target: Path, workers: int, options: list[str]) -> tuple[float, float, float]:
    """Seconds, and the largest memory in MB of the main process and of all."""
    command = [sys.executable, "-c", "from residency.cli import main; main()", "deidentify", str(source)]
    command += ["-o", str(target), "--workers", str(workers), *options]
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    own, together = [0.0], [0.0]
    watcher = threading.Thread(target=watch, args=(process, own, together))
    watcher.start()
    status = process.wait()
    seconds = time.monotonic() - start
    watcher.join()
    if status:
        raise SystemExit(f"residency deidentify ended with status {status}")
    return seconds, own[0], together[0]


def watch(process: subprocess.Popen[bytes], own: list[float], together: list[float]) -> None:
    """Keeps the largest memory seen until the process ends."""
    root = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            sizes = [one.memory_full_info().pss / 1e6 for one in (root, *root.children(recursive=True))]
        except psutil.Error:
            sizes = [0.0]
        own[0], together[0] = max(own[0], sizes[0]), max(together[0], sum(sizes))
        time.sleep(SAMPLED_EVERY)


if __name__ == "__main__":
    main()
