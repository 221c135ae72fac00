#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What issuing tokens does to the requests that are proxied meanwhile.

  ./dev bench --issuer [--rounds N] [--seconds N] [--alg ALG]

32 connections send proxied requests at a pace; beside them 64 clients ask for tokens, each again as soon as
it has one.  The gateway runs on CPU 0, wrk, the clients and the backend on CPU 1; the clients give way to the
others there.  Signing happens on the gateway's pool, which gives way to its loop and leaves no time of CPU 0
unused: the p99 of the proxied requests may grow by a fifth at most.  What a busy CPU alone does to it is
measured, too: beside the same gateway, without clients, a program computes on CPU 0 and gives way likewise."""
import argparse
import base64
import contextlib
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

import bench

CLIENTS, PAUSE_MS, AIM = 64, 10, 1.20
KINDS = ("alone", "beside a busy CPU", "beside clients")


def client_file(folder):
    """clients.jsonc, and the secret."""
    done = subprocess.run([bench.BINARY, "client", "add", "bench", "--audience", "a", "-f", folder / "clients.jsonc"],
                          capture_output=True, text=True, check=True)
    return done.stdout.strip()


@contextlib.contextmanager
def issuer(alg):
    """The running gateway, and the secret of its client."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="issuer.", dir=bench.WORK))
    try:
        subprocess.run([bench.BINARY, "keys", "generate", "--alg", alg, "-o", folder / "key.pem"], capture_output=True, check=True)
        secret = client_file(folder)
        config = bench.jwtgate_config("none", 1, 1)
        config["token_issuer"] = {"issuer": "https://i.test", "access_token": {"algorithm": alg}, "clients_file": "clients.jsonc",
                                  "signing_keys": [{"key_file": "key.pem"}]}
        (folder / "jwtgate.jsonc").write_text(json.dumps(config))
        with bench.running(bench.GW_CPU, [bench.BINARY, "run", "-c", folder / "jwtgate.jsonc"], bench.PORT):
            yield secret
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ask_for_tokens(secret, seconds, out):
    basic = base64.b64encode(f"bench:{secret}".encode()).decode()
    environment = {"PATH": "/usr/bin", "OUT": str(out), "BODY": "grant_type=client_credentials",
                   "BASIC": basic, "REQ_PATH": "/oauth2/token"}
    return subprocess.Popen([*bench.GIVES_WAY, "taskset", "-c", bench.LOAD_CPU, "wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}s",
                             "--timeout", "10s", "-s", bench.HERE / "load.lua", f"http://127.0.0.1:{bench.PORT}/oauth2/token"],
                            env=environment, stdout=subprocess.DEVNULL)


def compute(seconds):
    return subprocess.Popen([*bench.GIVES_WAY, "taskset", "-c", bench.GW_CPU, "openssl", "speed", "-seconds", str(seconds), "rsa2048"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measure(secret, seconds, kind):
    out = bench.WORK / "tokens.json"
    beside = {"alone": lambda: None, "beside a busy CPU": lambda: compute(seconds),
              "beside clients": lambda: ask_for_tokens(secret, seconds + 1, out)}[kind]()
    result = bench.load(32, "/", 0, "none", seconds, bench.LOAD_CPU, pause_ms=PAUSE_MS)
    if beside:
        beside.wait()
    return {**result, "tokens": json.loads(out.read_text()) if kind == "beside clients" else None}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--alg", default="RS256")
    options = parser.parse_args()
    bench.build_tools({"backend": []})
    rounds = []
    for number in range(1, options.rounds + 1):
        with bench.running(bench.LOAD_CPU, [bench.WORK / "backend", bench.BACKEND], bench.BACKEND), issuer(options.alg) as secret:
            bench.load(32, "/", 0, "none", 1, bench.LOAD_CPU, pause_ms=PAUSE_MS)
            rounds.append({kind: measure(secret, options.seconds, kind) for kind in KINDS})
        for kind, result in rounds[-1].items():
            tokens = result["tokens"]
            said = "" if tokens is None else (f"; tokens {tokens['requests'] / (tokens['duration_us'] / 1e6):.0f}/s, p99 {tokens['p99']:.0f} us, "
                                              f"refused {tokens['non2xx']}, errors {tokens['errors']}")
            print(f"round {number} {kind}: {result['requests']} requests, p50 {result['p50']:.0f} us, p99 {result['p99']:.0f} us, "
                  f"non-2xx {result['non2xx']}, errors {result['errors']}{said}", flush=True)
    clients = [r["beside clients"] for r in rounds]
    issued = statistics.median(c["tokens"]["requests"] / (c["tokens"]["duration_us"] / 1e6) for c in clients)
    print(f"\n{CLIENTS} clients that ask for {options.alg} tokens: {issued:.0f} tokens/s\n")
    print("| p99 of proxied requests | measured | aim | reached |\n|---|---:|---:|---|")
    bench.row("beside clients / alone", bench.ratio(rounds, "beside clients", "alone", "p99"), f"<= {AIM:.2f}", lambda v: v <= AIM)
    bench.row("beside a busy CPU / alone", bench.ratio(rounds, "beside a busy CPU", "alone", "p99"), "-", lambda _: True)
    bench.row("beside clients / beside a busy CPU", bench.ratio(rounds, "beside clients", "beside a busy CPU", "p99"), "-", lambda _: True)
    bench.row("proxied requests that failed", sum(c["non2xx"] + c["errors"] for c in clients), "0", lambda v: v == 0)
    bench.row("token requests that failed", sum(c["tokens"]["non2xx"] + c["tokens"]["errors"] for c in clients), "0", lambda v: v == 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
