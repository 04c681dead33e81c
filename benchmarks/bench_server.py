"""Load on the search server: many clients at once, text and image queries mixed, over loopback.

    python benchmarks/bench_server.py demo/index --clients 64 --seconds 60

Starts `medtrim serve` on a free port in a process of its own and asks it from threads of this one, each with a
connection that it keeps. Prints answers a second, the 50th and 95th percentile of the time to an answer, every
status seen, the server's processor time for an answer (which a busy machine changes least) and its largest
memory. A 429 is waited for as its Retry-After says and counted apart.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import psutil

WORDS = (
    "large left pleural effusion",
    "small right apical pneumothorax",
    "pleural effusion, no cardiomegaly",
    "moderate cardiomegaly with mild pulmonary edema",
    "left lower lobe pneumonia",
    "nodule in the right upper lobe",
)


class Load:
    """What the clients have seen so far."""

    def __init__(self, port: int, films: list[bytes], image_share: float) -> None:
        self.port, self.films, self.image_share = port, films, image_share
        self.statuses: Counter[str] = Counter()
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.lock = threading.Lock()

    def run_client(self, seed: int, end: float) -> None:
        """Ask until `end` (monotonic seconds)."""
        rng = random.Random(seed)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while time.monotonic() < end:
            kind = "image" if self.films and rng.random() < self.image_share else "text"
            clock = time.perf_counter()
            try:
                status, retry = self._ask(connection, kind, rng)
            except (OSError, http.client.HTTPException) as error:
                status, retry = type(error).__name__, 0.0
                connection.close()
            took = time.perf_counter() - clock
            with self.lock:
                self.statuses[f"{kind} {status}"] += 1
                if status == "200":
                    self.seconds[kind].append(took)
            if retry:
                time.sleep(retry)
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, kind: str, rng: random.Random) -> tuple[str, float]:
        if kind == "image":
            connection.request("POST", "/api/search/image?k=12", body=rng.choice(self.films))
        else:
            body = json.dumps({"text": rng.choice(WORDS), "k": 12})
            connection.request("POST", "/api/search", body=body, headers={"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return str(answer.status), float(answer.headers.get("retry-after", 0)) if answer.status == 429 else 0.0


def start_server(index: Path) -> tuple[subprocess.Popen[str], int]:
    """`medtrim serve` on a free port, ready."""
    command = [sys.executable, "-c", "from medtrim.cli import main; main()", "serve", str(index), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    if process.stdout is None:
        raise RuntimeError("the server has no output")
    found = re.search(r":(\d+) ", process.stdout.readline())
    if found is None:
        raise RuntimeError("the server does not say its port")
    port = int(found[1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", "/readyz")
    if connection.getresponse().status != 200:
        raise RuntimeError("the server is not ready")
    return process, port


def measure(index: Path, *, clients: int, seconds: float, image_share: float, films: list[bytes]) -> None:
    """One run, printed."""
    process, port = start_server(index)
    server = psutil.Process(process.pid)
    load = Load(port, films, image_share)
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=load.run_client, args=(seed, end)) for seed in range(clients)]
    peak = before = server.memory_info().rss
    busy = sum(server.cpu_times()[:2])
    clock = time.perf_counter()
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, server.memory_info().rss)
        time.sleep(0.2)
    took = time.perf_counter() - clock
    used = sum(server.cpu_times()[:2]) - busy
    clock = time.perf_counter()
    process.terminate()
    process.wait(30)
    stopped = time.perf_counter() - clock
    print(f"{clients} clients, {took:.0f} s, {image_share:.0%} images; load average {os.getloadavg()[0]:.1f}")
    for kind, times in sorted(load.seconds.items()):
        cuts = statistics.quantiles(times, n=20) if len(times) > 1 else times * 20
        print(
            f"  {kind}: {len(times) / took:.0f} answers/s, p50 {cuts[9] * 1e3:.0f} ms, p95 {cuts[18] * 1e3:.0f} ms"
        )
    answers = max(1, sum(map(len, load.seconds.values())))
    print(f"  the server's processor time: {used / answers * 1e3:.1f} ms an answer")
    print("  statuses: " + ", ".join(f"{name} × {count}" for name, count in sorted(load.statuses.items())))
    print(f"  memory: {before / 2**20:.0f} MiB idle, {peak / 2**20:.0f} MiB at most; ended in {stopped:.1f} s")


def main() -> None:
    """Text alone, then text and images mixed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", type=Path, nargs="?", default=Path("demo/index"))
    parser.add_argument("--films", type=Path, default=Path("demo/corpus/images"), help="folder of X-rays to ask by")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    if not (arguments.index / "index.json").exists():
        print(f"no index in {arguments.index}: make serve-demo makes one")
        return
    folder = arguments.films
    films = [path.read_bytes() for path in sorted(folder.iterdir())[:50]] if folder.is_dir() else []
    for share in (0.0, 0.2) if films else (0.0,):
        measure(
            arguments.index, clients=arguments.clients, seconds=arguments.seconds, image_share=share, films=films
        )


if __name__ == "__main__":
    main()
