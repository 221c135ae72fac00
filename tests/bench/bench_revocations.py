#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What many revocations in Redis cost.

  ./dev bench --revocations [N,...] [--seconds N] [--rate N]

Redis gets N keys with an end of their own, as a service would write them.  Then the time from the gateway's start
until all are known, the memory of its filter, and how long good tokens take: while nothing is read, while all
names are read again and again (`resync_interval` 1s), and while the connection to Redis is lost again and again
(each time all is read anew, and until then each token is asked about).  The load is an open loop: requests at a
fixed rate, each one's time from when it was due.

The gateway runs on GW_CPU, load and backend on LOAD_CPU.  Redis has a CPU of its own, REDIS_CPU; where there is
none it runs on LOAD_CPU, niced once it is filled: load and backend go before its scan.
10,000,000 revocations take 1.5 GB of memory and a few minutes."""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time

import bench

CONNECTIONS, CHUNK, LIFE_S, NICE = 64, 1000, 86400, 10
STATE = 'jwtgate_revocation_state{state="live"}'
RESYNCS = 'jwtgate_revocation_resyncs_total{cause="interval"}'


# --- Redis -------------------------------------------------------------------------------------


def redis_place():
    """(CPU, how nice it is there, in words)."""
    others = sorted(os.sched_getaffinity(0) - {int(bench.GW_CPU), int(bench.LOAD_CPU)})
    own = os.environ.get("REDIS_CPU") or (str(others[0]) if others else None)
    if own:
        return own, 0, f"Redis on CPU {own}"
    return bench.LOAD_CPU, NICE, f"Redis on CPU {bench.LOAD_CPU}, too, with nice {NICE}: load and backend go first"


def fill(count):
    """As redis-cli --pipe: SETEX of names of 46 bytes."""
    one = f"*4\r\n$5\r\nSETEX\r\n$46\r\nblocklist:jti:%032x\r\n${len(str(LIFE_S))}\r\n{LIFE_S}\r\n$1\r\n1\r\n"
    pipe = subprocess.Popen(["redis-cli", "-p", str(bench.REDIS), "--pipe"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for begin in range(0, count, CHUNK):
        numbers = range(begin, min(begin + CHUNK, count))
        pipe.stdin.write((one * len(numbers) % tuple(numbers)).encode())
    said = pipe.communicate()[0].decode()
    if f"errors: 0, replies: {count}" not in said:
        raise RuntimeError("redis-cli --pipe: " + said)


def redis_cli(*words):
    return subprocess.run(["redis-cli", "-p", str(bench.REDIS), *words], capture_output=True, text=True, check=True).stdout


@contextlib.contextmanager
def redis_with(count):
    """A redis-server with that many revocations, none of them of a token of ours."""
    cpu, nice, _ = redis_place()
    with bench.running(cpu, ["redis-server", "--port", bench.REDIS, "--bind", "127.0.0.1", "--save", ""], bench.REDIS) as process:
        fill(count)
        os.setpriority(os.PRIO_PROCESS, process.pid, nice)  # of its one thread that answers
        yield


# --- the gateway -------------------------------------------------------------------------------


@contextlib.contextmanager
def gateway(count, interval):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="revocations.", dir=bench.WORK))
    try:
        config = bench.jwtgate_config("rs256-filtered", 1, 1, {"filter": {"expected_items": count}, "resync_interval": interval})
        config["server"]["startup_timeout"] = "0s"
        (folder / "jwtgate.jsonc").write_text(json.dumps(config))
        with open(folder / "log", "wb") as log:
            with bench.running(bench.GW_CPU, [bench.BINARY, "run", "-c", folder / "jwtgate.jsonc"], bench.PORT, log):
                yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_live(pause_s=0.02):
    end = time.monotonic() + 600
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if bench.metrics().get(STATE) == 1:
                return
        time.sleep(pause_s)
    raise RuntimeError("never synchronised")


# --- measuring ---------------------------------------------------------------------------------


def load(rate, seconds):
    done = subprocess.run(["taskset", "-c", bench.LOAD_CPU, bench.WORK / "paced", str(bench.PORT), str(rate), str(seconds),
                           str(CONNECTIONS), bench.WORK / "rs256.txt"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def lose_connections(stop, waits):
    """Again and again, each time when all is known again; how long that took goes to `waits`."""
    while not stop.is_set():
        redis_cli("CLIENT", "KILL", "TYPE", "pubsub")
        begin = time.monotonic()
        time.sleep(0.05)  # it has noticed
        wait_until_live(0.1)  # to ask takes the gateway's time
        waits.append(time.monotonic() - begin)
        stop.wait(0.2)


def measure_alone(count, rate, seconds):
    """Seconds until all are known, bytes of the filter, and the load while nothing is read."""
    begin = time.monotonic()
    with gateway(count, "1h"):
        wait_until_live()
        synced = time.monotonic() - begin
        load(rate, 1)
        result = load(rate, seconds)
        known = bench.metrics()
    if known["jwtgate_revocation_entries"] < count * 0.999:
        raise RuntimeError(f"only {known['jwtgate_revocation_entries']:.0f} entries are known")
    return {**result, "synced": synced, "bytes": known["jwtgate_revocation_filter_bytes"]}


def measure_reading(count, rate, seconds, synced):
    """The load while all is read again, and the share of the time that this took."""
    with gateway(count, "1s"):
        wait_until_live()
        load(rate, 1)
        before = bench.metrics()[RESYNCS]
        result = load(rate, seconds)
        times = bench.metrics()[RESYNCS] - before
    return {**result, "times": times, "share": min(times * synced / seconds, 1)}


def measure_losing(count, rate, seconds):
    """The load while connections are lost, and the share of the time without a filter."""
    stop, waits = threading.Event(), []
    with gateway(count, "1h"):
        wait_until_live()
        load(rate, 1)
        thread = threading.Thread(target=lose_connections, args=(stop, waits))
        thread.start()
        result = load(rate, seconds)
        stop.set()
        thread.join()
    return {**result, "times": len(waits), "share": min(sum(waits) / seconds, 1)}


def measure(count, rate, seconds):
    begin = time.monotonic()
    with bench.running(bench.LOAD_CPU, [bench.WORK / "backend", bench.BACKEND], bench.BACKEND), redis_with(count):
        filled = time.monotonic() - begin
        alone = measure_alone(count, rate, seconds)
        longer = max(seconds, int(3 * alone["synced"]))
        return filled, alone, measure_reading(count, rate, longer, alone["synced"]), measure_losing(count, rate, longer)


# --- the report --------------------------------------------------------------------------------


def report(count, filled, alone, reading, losing):
    each = alone["bytes"] / count
    print(f"\n| {count:,} revocations | measured | aim | reached |\n|---|---:|---:|---|")
    bench.row("Redis filled by redis-cli --pipe", filled, "-", lambda _: True, " s")
    bench.row("bytes of the filter, each", each, "<= 2", lambda v: round(v, 2) <= 2)
    bench.row("from the gateway's start until all are known", alone["synced"], "-", lambda _: True, " s")
    bench.row("p50 alone", alone["p50"], "-", lambda _: True, " us")
    bench.row("p99 alone", alone["p99"], "-", lambda _: True, " us")
    bench.row("good tokens refused, or requests without an answer", alone["non2xx"] + alone["errors"], "0", lambda v: v == 0)
    for words, result in (("while all is read again", reading), ("while connections are lost, and Redis is asked", losing)):
        bench.row(f"p99 {words} ({result['times']:.0f} times, {result['share'] * 100:.0f} % of the time)", result["p99"], "-",
                  lambda _: True, " us")
        bench.row("the same / alone", result["p99"] / max(alone["p99"], 1), "-", lambda _: True)
        bench.row("good tokens refused meanwhile, or requests without an answer", result["non2xx"] + result["errors"], "0", lambda v: v == 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", nargs="?", default="1000000,10000000", metavar="N,...")
    parser.add_argument("--seconds", type=int, default=10, help="of each load, at least")
    parser.add_argument("--rate", type=int, default=4000, help="requests a second")
    options = parser.parse_args()
    bench.prepare()
    bench.build_tools({"paced": []})
    print(f"Open loop: {options.rate} requests/s on {CONNECTIONS} connections.  The gateway on CPU {bench.GW_CPU}, load and backend "
          f"on CPU {bench.LOAD_CPU}, {redis_place()[2]}.", flush=True)
    for count in map(int, options.counts.split(",")):
        report(count, *measure(count, options.rate, options.seconds))


if __name__ == "__main__":
    main()
