"""Load on the search server: many clients at once, text and image queries mixed, over loopback.

    python benchmarks/bench_server.py demo/index --clients 64 --seconds 60

Starts `medtrim serve` on a free port and asks it from this process, each client with a connection that it keeps; no
words are asked twice, or hardly. Prints answers a second, the 50th and 95th percentile of the time to an answer,
every status seen, the processor time for an answer (which a busy machine changes least) and the largest memory of
all the server's processes. A 429 is waited for as its Retry-After says and counted apart.
"""

from __future__ import annotations

import argparse
import asyncio
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

SIZES, SIDES = ("", "small", "large", "mild", "moderate"), ("", "left", "right", "bilateral")
NOUNS = ("pleural effusion", "pneumothorax", "pneumonia", "consolidation", "atelectasis", "rib fracture", "nodule")


def some_words(rng: random.Random) -> str:
    """A query of two findings, the second one denied now and then: 40,000 in all, so that few repeat."""
    first, second = (" ".join(filter(None, map(rng.choice, (SIZES, SIDES, NOUNS)))) for _ in range(2))
    return first + rng.choice((" and ", ", no ")) + second


class Load:
    """What the clients have seen so far."""

    def __init__(self, port: int, films: list[bytes], image_share: float) -> None:
        self.port, self.films, self.image_share = port, films, image_share
        self.statuses: Counter[str] = Counter()
        self.seconds: dict[str, list[float]] = defaultdict(list)

    async def run_client(self, seed: int, end: float) -> None:
        """Ask until `end` (monotonic seconds)."""
        rng = random.Random(seed)
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while time.monotonic() < end:
            kind = "image" if self.films and rng.random() < self.image_share else "text"
            clock, retry = time.perf_counter(), 0.0
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
                status, retry = await self._ask(streams, kind, rng)
            except (OSError, asyncio.IncompleteReadError) as error:
                status, streams = type(error).__name__, None
            took = time.perf_counter() - clock
            self.statuses[f"{kind} {status}"] += 1
            if status == "200":
                self.seconds[kind].append(took)
            await asyncio.sleep(retry)
        if streams is not None:
            streams[1].close()

    async def _ask(
        self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], kind: str, rng: random.Random
    ) -> tuple[str, float]:
        path, body, content = "/api/search/image?k=12", b"", "application/octet-stream"
        if kind == "image":
            body = rng.choice(self.films)
        else:
            path, content = "/api/search", "application/json"
            body = json.dumps({"text": some_words(rng), "k": 12}).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {content}\r\n"
        head += f"content-length: {len(body)}\r\n\r\n"
        reader, writer = streams
        writer.write(head.encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:] if line)
        await reader.readexactly(int(fields["content-length"]))
        status = lines[0].split()[1]
        return status, float(fields.get("retry-after", 0)) if status == "429" else 0.0

    async def run(self, clients: int, end: float) -> None:
        """`clients` of them at once."""
        await asyncio.gather(*(self.run_client(seed, end) for seed in range(clients)))


def start_server(index: Path, workers: int = 1) -> tuple[subprocess.Popen[str], int]:
    """`medtrim serve` on a free port, ready."""
    command = [sys.executable, "-c", "from medtrim.cli import main; main()", "serve", str(index), "--port", "0"]
    command += ["--workers", str(workers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    if process.stdout is None:
        raise RuntimeError("the server has no output")
    found = re.search(r":(\d+) ", process.stdout.readline())
    if found is None:
        raise RuntimeError("the server does not say its port")
    port = int(found[1])
    for _ in range(workers * 2):  # each worker answers one connection at least, most likely
        _wait_until_ready(port)
    return process, port


def _wait_until_ready(port: int) -> None:
    until = time.monotonic() + 120
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        finally:
            connection.close()


def memory(processes: list[psutil.Process]) -> int:
    """Resident bytes of all `processes`."""
    return sum(process.memory_info().rss for process in processes)


def processor_time(processes: list[psutil.Process]) -> float:
    """Seconds of processor time that all `processes` have used."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def measure(
    index: Path, *, clients: int, seconds: float, image_share: float, films: list[bytes], workers: int
) -> None:
    """One run, printed."""
    process, port = start_server(index, workers)
    started = psutil.Process(process.pid)
    servers = started.children() or [started]
    load = Load(port, films, image_share)
    end = time.monotonic() + seconds
    thread = threading.Thread(target=lambda: asyncio.run(load.run(clients, end)))
    peak = before = memory(servers)
    busy = processor_time(servers)
    clock, own = time.perf_counter(), time.process_time()
    thread.start()
    while thread.is_alive():
        peak = max(peak, memory(servers))
        time.sleep(0.2)
    took = time.perf_counter() - clock
    used = processor_time(servers) - busy
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
    own = time.process_time() - own
    print(f"  processor time an answer: server {used / answers * 1e3:.1f} ms, clients {own / answers * 1e3:.1f} ms")
    print("  statuses: " + ", ".join(f"{name} × {count}" for name, count in sorted(load.statuses.items())))
    print(f"  memory: {before / 2**20:.0f} MiB idle, {peak / 2**20:.0f} MiB at most; ended in {stopped:.1f} s")


def main() -> None:
    """Text alone, then text and images mixed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", type=Path, nargs="?", default=Path("demo/index"))
    parser.add_argument(
        "--films", type=Path, default=Path("demo/corpus/phantom/images"), help="folder of X-rays to ask by"
    )
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=1, help="processes of the server")
    parser.add_argument("--share", type=float, nargs="*", default=[0.0, 0.2], help="shares of queries by image")
    arguments = parser.parse_args()
    if not (arguments.index / "index.json").exists():
        print(f"no index in {arguments.index}: make serve-demo makes one")
        return
    folder = arguments.films
    films = [path.read_bytes() for path in sorted(folder.iterdir())[:50]] if folder.is_dir() else []
    for share in arguments.share if films else [0.0]:
        measure(
            arguments.index,
            clients=arguments.clients,
            seconds=arguments.seconds,
            image_share=share,
            films=films,
            workers=arguments.workers,
        )


if __name__ == "__main__":
    main()
