"""Who mines the shards: this process, several processes, or a Ray cluster. The triplets are the same."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

from medtrim.errors import ConfigError
from medtrim.mining.corpus import CorpusMiner, Shard, ShardTriplets
from medtrim.types.processes import end_with_parent
from medtrim.types.ray_map import ray_cluster

ENGINES: tuple[str, ...] = ("local", "ray")
MakeMiner = Callable[[], CorpusMiner]
Results = Iterator[tuple[int, ShardTriplets]]

_worker: CorpusMiner | None = None


def run_shards(make: MakeMiner, shards: Sequence[Shard], *, engine: str = "local", workers: int = 1) -> Results:
    """Mine the shards and yield (number, triplets) as they are done, in any order.

    `make` builds the miner once in each worker (a `functools.partial` of module-level things).

    Raises:
        ConfigError: unknown engine, no worker, or Ray is not installed.
    """
    if engine not in ENGINES:
        raise ConfigError(f"unknown engine {engine!r}, allowed: {', '.join(ENGINES)}")
    if workers < 1:
        raise ConfigError(f"workers is {workers}, allowed: 1 or more")
    if engine == "ray":
        return _run_ray(make, shards, workers)
    return _run_here(make, shards) if workers == 1 else _run_processes(make, shards, workers)


def _run_here(make: MakeMiner, shards: Sequence[Shard]) -> Results:
    miner = make()
    for shard in shards:
        yield shard.number, miner.mine(shard)


def _run_processes(make: MakeMiner, shards: Sequence[Shard], workers: int) -> Results:
    # Spawned, not forked: the parent may hold Arrow's threads, which a fork would leave locked.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(make,)) as pool:
        waiting = {pool.submit(_mine, shard): shard.number for shard in shards}
        try:
            for done in as_completed(waiting):
                yield waiting.pop(done), done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start(make: MakeMiner) -> None:
    global _worker
    end_with_parent()
    _worker = make()


def _mine(shard: Shard) -> ShardTriplets:
    if _worker is None:
        raise RuntimeError("the worker process was not initialised")
    return _worker.mine(shard)


def _run_ray(make: MakeMiner, shards: Sequence[Shard], workers: int) -> Results:
    with ray_cluster(workers):
        import ray

        # One actor a worker, so that the miner's tables are built once each and not once a shard.
        shared = ray.put(make)
        actors: list[Any] = [ray.remote(_Actor).remote(shared) for _ in range(workers)]
        pending: dict[Any, tuple[int, Any]] = {}
        queue = iter(shards)
        for actor in actors:
            for shard in _next(queue):
                pending[actor.mine.remote(shard)] = (shard.number, actor)
        while pending:
            (done,), _ = ray.wait(list(pending), num_returns=1)
            number, actor = pending.pop(done)
            for shard in _next(queue):
                pending[actor.mine.remote(shard)] = (shard.number, actor)
            yield number, ray.get(done)


class _Actor:
    def __init__(self, make: MakeMiner) -> None:
        self._miner = make()

    def mine(self, shard: Shard) -> ShardTriplets:
        return self._miner.mine(shard)


def _next(queue: Iterator[Shard]) -> Iterator[Shard]:
    for shard in queue:
        yield shard
        return
