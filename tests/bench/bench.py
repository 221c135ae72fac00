#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a request costs, side by side with nginx and HAProxy on this machine.

  ./dev bench [--quick] [--rounds N] [--seconds N] [--only NAME,...] [--json FILE]
  ./dev bench --flood [--rounds N]     what tokens with random kids do to good ones: beside them, by the same
                                       sender, tokens that are refused for another reason
  ./dev bench --tls [--help]           what TLS costs: bench_tls.py
  ./dev bench --revocations [N,...]    what N revocations in Redis cost (1,000,000 and 10,000,000): bench_revocations.py

The gateway runs on CPU 0, wrk and the backend on CPU 1.  The headline is the gateway's CPU time per
request (from /proc, over all its processes): on a shared machine it is steadier than requests per
second.  Rounds are interleaved (A B C A B C ...), each program is started fresh and warmed; a ratio is
the median of the ratios of the rounds.  Settings: BENCH_DIR, GW_CPU, LOAD_CPU, JWTGATE_BIN."""
import argparse
import contextlib
import http.server
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import signal
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import types
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORK = pathlib.Path(os.environ.get("BENCH_DIR", ROOT / "build" / "bench"))
BINARY = os.environ.get("JWTGATE_BIN", str(ROOT / "build" / "jwtgate"))
GW_CPU, LOAD_CPU = os.environ.get("GW_CPU", "0"), os.environ.get("LOAD_CPU", "1")
TICK = os.sysconf("SC_CLK_TCK")
PORT, ADMIN, BACKEND, KEYS, REDIS = 18080, 18087, 18081, 18083, 18085
TOKENS = 100_000
WARM_UP = 200  # requests on each of the first connections: what is there once, however many connections, is then in memory
FLOOD_TOKENS, FLOOD_SECONDS, FLOOD_REFRESH_S, FLOOD_SENDERS = 20_000, 10, 2, 20
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

# name: (program, auth, workers, routes, connections, path, tokens in turn (0: none, -1: all))
RUNS = {
    "floor": ("floor", "none", 1, 1, 64, "/", 0),
    "nginx": ("nginx", "none", 1, 1, 64, "/", 0),
    "haproxy": ("haproxy", "none", 1, 1, 64, "/", 0),
    "jwtgate": ("jwtgate", "none", 1, 1, 64, "/", 0),
    "jwtgate-hs256": ("jwtgate", "hs256", 1, 1, 64, "/", 1),
    "jwtgate-rs256": ("jwtgate", "rs256", 1, 1, 64, "/", 1),
    "jwtgate-jwks": ("jwtgate", "jwks", 1, 1, 64, "/", 1),
    "jwtgate-filtered": ("jwtgate", "rs256-filtered", 1, 1, 64, "/", 1),
    "jwtgate-strict": ("jwtgate", "rs256-strict", 1, 1, 64, "/", 1),
    "jwtgate-rs256-first": ("jwtgate", "rs256", 1, 1, 64, "/", -1),
    "jwtgate-w2": ("jwtgate", "none", 2, 1, 64, "/", 0),
    "jwtgate-10r": ("jwtgate", "none", 1, 10, 64, "/r7/x", 0),
    "jwtgate-10000r": ("jwtgate", "none", 1, 10_000, 64, "/r7777/x", 0),
    "nginx-1m": ("nginx", "none", 1, 1, 64, "/1m", 0),
    "haproxy-1m": ("haproxy", "none", 1, 1, 64, "/1m", 0),
    "jwtgate-1m": ("jwtgate", "none", 1, 1, 64, "/1m", 0),
}

NGINX = """daemon off; pid {dir}/nginx.pid; user root; worker_processes {workers}; error_log {dir}/error.log crit;
events {{ worker_connections 8192; multi_accept on; }}
http {{
  access_log off; server_tokens off; tcp_nodelay on; keepalive_timeout 300s; keepalive_requests 100000000;
  proxy_max_temp_file_size 0; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  upstream backend {{ server 127.0.0.1:{backend}; keepalive 1024; keepalive_requests 100000000; keepalive_timeout 300s; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096 reuseport;
    location / {{
      proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
    }}
  }}
}}
"""
HAPROXY = """global
  nbthread {workers}
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  timeout http-keep-alive 300s
  http-reuse always
frontend fe
  bind 127.0.0.1:{port} backlog 4096
  option forwardfor
  default_backend be
backend be
  server b 127.0.0.1:{backend} pool-max-conn 2000 pool-purge-delay 300s
"""


# --- what is made once -------------------------------------------------------------------------


def make_tokens(argument):
    kind, pem, count = argument
    import support  # of the end-to-end tests
    from cryptography.hazmat.primitives import serialization
    key = support.RsaKey.__new__(support.RsaKey)
    key.kid = "bench"
    key.key = serialization.load_pem_private_key(pem, None) if kind == "rs256" else None
    now = int(time.time())
    payload = {"iat": now - 5, "nbf": now - 5, "exp": now + 7 * 86400, "uid": "user-123", "roles": ["reader", "writer"]}
    sign = key.token if kind == "rs256" else lambda c: support.hs256(c, kid="bench")
    return [sign(support.claims(**payload)) for _ in range(count)]


def build_tools(tools):
    """Programs of one file, each with what it is linked with."""
    WORK.mkdir(parents=True, exist_ok=True)
    for tool, libraries in tools.items():
        subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-o", WORK / tool, HERE / f"{tool}.c", *libraries], check=True)


def prepare():
    from cryptography.hazmat.primitives import serialization
    import support
    build_tools({"backend": [], "floor": []})
    stamp = WORK / "rs256.txt"
    if stamp.exists() and time.time() - stamp.stat().st_mtime < 5 * 86400:
        return
    print(f"making keys and {TOKENS} tokens (once)", file=sys.stderr, flush=True)
    key = support.RsaKey("bench")
    pem = key.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (WORK / "rsa.pub.pem").write_bytes(key.public_pem())
    secret = WORK / "hs256.secret"
    secret.write_text(support.SECRET)
    secret.chmod(0o600)
    (WORK / "hs256.txt").write_text("\n".join(make_tokens(("hs256", None, 10))) + "\n")
    parts = os.cpu_count() or 1
    with multiprocessing.Pool(parts) as pool:
        lists = pool.map(make_tokens, [("rs256", pem, TOKENS // parts)] * parts)
    stamp.write_text("\n".join(t for part in lists for t in part) + "\n")


def serve_keys():
    """The key of the tokens as a JWK set on port KEYS, until the end of the program."""
    from cryptography.hazmat.primitives import serialization
    import support
    key = support.RsaKey.__new__(support.RsaKey)
    key.kid = "bench"
    public = serialization.load_pem_public_key((WORK / "rsa.pub.pem").read_bytes())
    key.key = types.SimpleNamespace(public_key=lambda: public)
    body = json.dumps({"keys": [key.jwk()]}).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked += 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", KEYS), Handler)
    server.asked = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


# --- processes ---------------------------------------------------------------------------------


def tree_of(pid):
    """pid and all its descendants."""
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            parent = int(pathlib.Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1])
            children.setdefault(parent, []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def cpu_of(pids):
    user = system = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            user, system = user + int(fields[11]), system + int(fields[12])
    return user / TICK, system / TICK


def memory_of(pids):
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            found = re.search(r"^Rss:\s+(\d+)", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
            total += int(found.group(1)) if found else 0
    return total


def answers(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def wait_for(condition, what):
    end = time.monotonic() + 20
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(what)
        time.sleep(0.05)


@contextlib.contextmanager
def running(cpus, command, port, log=subprocess.DEVNULL):
    wait_for(lambda: not answers(port), f"port {port} is taken")
    process = subprocess.Popen(["taskset", "-c", cpus, *map(str, command)], start_new_session=True, stdin=subprocess.DEVNULL,
                               stdout=log, stderr=log)
    try:
        wait_for(lambda: process.poll() is not None or answers(port), f"port {port} does not answer")
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended at once")
        time.sleep(0.2)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def redis_with(count):
    """A redis-server with that many revocations, none of them of a token of ours."""
    command = ["redis-server", "--port", REDIS, "--bind", "127.0.0.1", "--save", "", "--enable-debug-command", "yes"]
    with running(LOAD_CPU, command, REDIS):
        subprocess.run(["redis-cli", "-p", str(REDIS), "DEBUG", "POPULATE", str(count), "blocklist:jti", "1"],
                       check=True, stdout=subprocess.DEVNULL)
        yield


def metrics():
    """{name{labels}: value} of the gateway that runs."""
    with urllib.request.urlopen(f"http://127.0.0.1:{ADMIN}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line and line[0] != "#"}


def jwtgate_config(auth, workers, routes, revocation=None):
    auth, _, revoked = auth.partition("-")
    providers, access = {}, "none"
    common = {"issuer": "https://issuer.test/", "audiences": ["orders"]}
    if auth == "hs256":
        providers = {"p": {**common, "algorithms": ["HS256"], "keys": [{"kid": "bench", "secret": {"file": str(WORK / "hs256.secret")}}]}}
    elif auth == "rs256":
        providers = {"p": {**common, "algorithms": ["RS256"], "keys": [{"kid": "bench", "public_key_file": str(WORK / "rsa.pub.pem")}]}}
    elif auth == "jwks":
        providers = {"p": {**common, "algorithms": ["RS256"], "jwks": {
            "uri": f"http://127.0.0.1:{KEYS}/", "allow_http": True,
            "cache": {"ttl": "10m", "min_refresh": f"{FLOOD_REFRESH_S}s"}}}}
    if providers:
        access = {"provider": "p", **({"revocation": revoked} if revoked else {})}
    if revoked:
        revocation = {"redis": {"url": f"redis://127.0.0.1:{REDIS}", "timeouts": {"command": "1s"}}, **(revocation or {})}
    paths = ["/"] if routes == 1 else [f"/r{n}" for n in range(routes)]
    table = {}
    for number, path in enumerate(paths):
        table[f"r{number}"] = {"match": {"path_prefix": path}, "upstream": "b", "auth": access}
        if providers:
            table[f"r{number}"]["claims_to_headers"] = {"sub": "X-User-Id", "jti": "X-Token-Id"}
    return {"version": 1, "server": {"workers": workers, "limits": {"requests_per_connection": 1_000_000}},
            "listeners": {"public": {"address": f"127.0.0.1:{PORT}"}}, "admin": {"address": f"127.0.0.1:{ADMIN}"},
            "access_log": "off", "upstreams": {"b": {"targets": [f"127.0.0.1:{BACKEND}"]}},
            **({"providers": providers} if providers else {}), **({"revocation": revocation} if revoked else {}),
            "routes": table}


def nginx_command(folder):
    return [shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"]


def command_of(program, auth, workers, routes, folder, revocation=None):
    values = {"dir": folder, "workers": workers, "port": PORT, "backend": BACKEND}
    if program == "floor":
        return [WORK / "floor", PORT, BACKEND]
    if program == "nginx":
        (folder / "nginx.conf").write_text(NGINX.format(**values))
        return nginx_command(folder)
    if program == "haproxy":
        (folder / "haproxy.cfg").write_text(HAPROXY.format(**values))
        return [shutil.which("haproxy", path="/usr/sbin:/usr/bin"), "-db", "-f", folder / "haproxy.cfg"]
    (folder / "jwtgate.jsonc").write_text(json.dumps(jwtgate_config(auth, workers, routes, revocation)))
    return [BINARY, "run", "-c", folder / "jwtgate.jsonc"]


@contextlib.contextmanager
def gateway(program, auth, workers, routes, revocation=None):
    cpus = GW_CPU if workers == 1 else f"{GW_CPU},{LOAD_CPU}"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="run.", dir=WORK))
    folder.chmod(0o755)
    try:
        with open(folder / "log", "wb") as log, contextlib.ExitStack() as stack:
            try:
                process = stack.enter_context(running(cpus, command_of(program, auth, workers, routes, folder, revocation), PORT, log))
            except RuntimeError as error:
                raise RuntimeError(f"{error}: {(folder / 'log').read_text(errors='replace')[-800:]}") from error
            yield process
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- measuring ---------------------------------------------------------------------------------


# Who only disturbs shares a CPU with who is measured, and must not delay it there: only the gateway is to show.
GIVES_WAY = ["chrt", "--idle", "0"]


def load(connections, path, tokens, auth, seconds, cpus, threads=1, skip=0.0, pause_ms=0, scheme="http", tokens_file=None,
         policy=()):
    out = WORK / f"wrk-{auth}.json"
    out.unlink(missing_ok=True)
    auth = auth.partition("-")[0]
    if tokens_file is None and auth != "none":
        tokens_file = WORK / f"{'rs256' if auth == 'jwks' else auth}.txt"
    environment = dict(os.environ, TOKENS=str(tokens_file or ""), REQ_PATH=path, OUT=str(out),
                       NTOK=str(TOKENS if tokens < 0 else tokens), SKIP=str(skip), PAUSE_MS=str(pause_ms))
    done = subprocess.run([*policy, "taskset", "-c", cpus, "wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s",
                           HERE / "load.lua", f"{scheme}://127.0.0.1:{PORT}{path}"], env=environment, capture_output=True, text=True, check=False)
    if not out.exists():
        raise RuntimeError("wrk: " + done.stderr + done.stdout)
    return json.loads(out.read_text())


def commands_and_writes():
    """Of the workers, to Redis."""
    now = metrics()
    return (now['jwtgate_redis_commands_total{class="lookup",result="ok"}'], now['jwtgate_redis_writes_total{class="lookup"}'])


def measure(name, seconds):
    program, auth, workers, routes, connections, path, tokens = RUNS[name]
    cpus, threads = (LOAD_CPU, 1) if workers == 1 else (f"{GW_CPU},{LOAD_CPU}", 2)
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(cpus, [WORK / "backend", BACKEND], BACKEND))
        if "-" in auth:
            stack.enter_context(redis_with(10_000))
        process = stack.enter_context(gateway(program, auth, workers, routes))
        load(connections, path, tokens, auth, 1, cpus, skip=0.5)
        pids = tree_of(process.pid)
        asked0 = commands_and_writes() if "strict" in auth else (0, 0)
        user0, system0 = cpu_of(pids)
        begin = time.monotonic()
        result = load(connections, path, tokens, auth, seconds, cpus, threads)
        wall = time.monotonic() - begin
        user1, system1 = cpu_of(pids)
        rss = memory_of(pids)
        asked1 = commands_and_writes() if "strict" in auth else (0, 0)
    requests = max(result["requests"], 1)
    user, system = user1 - user0, system1 - system0
    return {"name": name, "us": (user + system) / requests * 1e6, "user": user / requests * 1e6, "system": system / requests * 1e6,
            "rps": requests / (result["duration_us"] / 1e6), "p50": result["p50"], "p99": result["p99"],
            "non2xx": result["non2xx"], "errors": result["errors"], "busy": (user + system) / wall / workers, "rss": rss,
            "commands_per_write": (asked1[0] - asked0[0]) / max(asked1[1] - asked0[1], 1)}


def idle_bytes(program, count):
    """Memory of one idle keep-alive connection."""
    request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\n\r\n".encode()

    def ask(sock):
        sock.sendall(request)
        data = b""
        while b":1}\n" not in data:
            more = sock.recv(65536)
            if not more:
                raise RuntimeError("closed")
            data += more
    with running(LOAD_CPU, [WORK / "backend", BACKEND], BACKEND), gateway(program, "none", 1, 1) as process:
        first = [socket.create_connection(("127.0.0.1", PORT), 5) for _ in range(8)]
        for sock in first * WARM_UP:
            ask(sock)
        time.sleep(0.5)
        before, rest = memory_of(tree_of(process.pid)), []
        for _ in range(count):
            rest.append(socket.create_connection(("127.0.0.1", PORT), 5))
            ask(rest[-1])
        time.sleep(1)
        after = memory_of(tree_of(process.pid))
        for sock in first + rest:
            sock.close()
    return (after - before) * 1024 / count


def openssl_verify_us():
    done = subprocess.run(["taskset", "-c", GW_CPU, "openssl", "speed", "-seconds", "1", "rsa2048"], capture_output=True, text=True, check=False)
    return 1e6 / float(done.stdout.strip().splitlines()[-1].split()[-1])


# --- a flood of random kids --------------------------------------------------------------------


KINDS = ("alone", "beside refused tokens", "beside random kids")


def write_flood(kind, good):
    """The tokens of the flood: all differ, none is good.  `refused` name another algorithm, which is seen
    before keys are looked for; `kids` name a key that nobody has."""
    import support
    _, payload, signature = good.split(".")
    head = {"beside refused tokens": {"alg": "HS256", "typ": "JWT"}, "beside random kids": {"alg": "RS256", "typ": "JWT"}}[kind]
    file = WORK / "flood.txt"
    file.write_text("".join(f"{support.b64({**head, 'kid': secrets.token_hex(8)})}.{payload}.{signature}\n" for _ in range(FLOOD_TOKENS)))
    return file


def measure_flood(keys, kind):
    """Paced good tokens for FLOOD_SECONDS, and beside them nothing, or FLOOD_TOKENS others by a second wrk on the same CPU:
    what differs between the two floods is what the gateway does with them."""
    good = (WORK / "rs256.txt").read_text().split("\n", 1)[0]
    with running(LOAD_CPU, [WORK / "backend", BACKEND], BACKEND), gateway("jwtgate", "jwks", 1, 1) as process:
        load(32, "/", 1, "jwks", 2, LOAD_CPU, pause_ms=10)
        pids, found = tree_of(process.pid), {"requests": 0, "non2xx": 0}
        before, asked, cpu = memory_of(pids), keys.asked, sum(cpu_of(pids))
        sender = None
        if kind != "alone":
            file = write_flood(kind, good)
            pause_ms = FLOOD_SENDERS * 900 * FLOOD_SECONDS // FLOOD_TOKENS  # the answer takes time, too
            sender = threading.Thread(target=lambda: found.update(load(
                FLOOD_SENDERS, "/", FLOOD_TOKENS, "flood", FLOOD_SECONDS, LOAD_CPU, pause_ms=pause_ms, tokens_file=file, policy=GIVES_WAY)))
            sender.start()
        result = load(32, "/", 1, "jwks", FLOOD_SECONDS, LOAD_CPU, pause_ms=10)
        if sender:
            sender.join()
        cpu = sum(cpu_of(pids)) - cpu
        return {**result, "fetches": keys.asked - asked, "flood": found["requests"], "refused": found["non2xx"], "cpu": cpu,
                "grown_kib": memory_of(pids) - before, "rss_kib": before}


def flood_cost(rounds, kind):
    """CPU of the gateway per token of the flood, in us."""
    return statistics.median((r[kind]["cpu"] - r["alone"]["cpu"]) / max(r[kind]["flood"], 1) * 1e6 for r in rounds)


def flood(keys, count):
    rounds = []
    for number in range(1, count + 1):
        rounds.append({kind: measure_flood(keys, kind) for kind in KINDS})
        for kind, row_ in rounds[-1].items():
            print(f"round {number} {kind}: good tokens {row_['requests']}, non-2xx {row_['non2xx']}, errors {row_['errors']}, "
                  f"p50 {row_['p50']:.0f} us, p99 {row_['p99']:.0f} us; flood {row_['flood']}, refused {row_['refused']}; "
                  f"fetches {row_['fetches']}; CPU {row_['cpu']:.2f} s; RSS {row_['rss_kib']} KiB, grown by {row_['grown_kib']} KiB", flush=True)
    floods = [r["beside random kids"] for r in rounds]
    most = FLOOD_SECONDS // FLOOD_REFRESH_S + 1
    print(f"\n{FLOOD_TOKENS} tokens with random kids in {FLOOD_SECONDS} s, min_refresh {FLOOD_REFRESH_S} s\n")
    print("| flood | measured | aim | reached |\n|---|---:|---:|---|")
    row("p99 of good tokens, beside random kids / alone", ratio(rounds, "beside random kids", "alone", "p99"), "<= 1.20", lambda v: v <= 1.20)
    row("p99 of good tokens, beside random kids / beside tokens that are refused at once",
        ratio(rounds, "beside random kids", "beside refused tokens", "p99"), "-", lambda _: True)
    row("CPU of a token that is refused at once", flood_cost(rounds, "beside refused tokens"), "-", lambda _: True, " us")
    row("CPU of a token with a random kid", flood_cost(rounds, "beside random kids"), "-", lambda _: True, " us")
    row("tokens of the flood, least in a round", min(f["flood"] for f in floods), f">= {FLOOD_TOKENS * 9 // 10}",
        lambda v: v >= FLOOD_TOKENS * 9 // 10)
    row("tokens of the flood that passed", sum(f["flood"] - f["refused"] for f in floods), "0", lambda v: v == 0)
    row("fetches, most in a round", max(f["fetches"] for f in floods), f"<= {most}", lambda v: v <= most)
    row("good tokens that were refused", sum(f["non2xx"] + f["errors"] for f in floods), "0", lambda v: v == 0)
    row("memory, most growth in a round", max(f["grown_kib"] for f in floods) / 1024, "<= 1 MiB", lambda v: v <= 1, " MiB")


# --- the report --------------------------------------------------------------------------------


def ratio(rounds, above, below, key="us"):
    values = [r[above][key] / r[below][key] for r in rounds if above in r and below in r and r[below][key] > 0]
    return statistics.median(values) if values else None


def row(label, value, aim, good, unit=""):
    if value is None:
        return
    reached = "-" if aim == "-" else "yes" if good(value) else "NO"
    print(f"| {label} | {value:.2f}{unit} | {aim} | {reached} |")


def print_rows(rounds, names):
    print("| run | CPU us/request (min-max) | user us | system us | requests/s | p50 us | p99 us | CPU busy | non-2xx | errors | RSS MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name in names:
        rows = [r[name] for r in rounds if name in r]
        if not rows:
            continue
        mid = {k: statistics.median(v[k] for v in rows) for k in rows[0] if k != "name"}
        costs = [v["us"] for v in rows]
        print(f"| {name} | **{mid['us']:.2f}** ({min(costs):.2f}-{max(costs):.2f}) | {mid['user']:.2f} | {mid['system']:.2f} | {mid['rps']:.0f} | "
              f"{mid['p50']:.0f} | {mid['p99']:.0f} | {mid['busy'] * 100:.0f} % | {sum(v['non2xx'] for v in rows)} | "
              f"{sum(v['errors'] for v in rows)} | {mid['rss'] / 1024:.1f} |")


def print_ratios(rounds, verify, idle):
    print("\n| ratio | measured | aim | reached |\n|---|---:|---:|---|")
    row("plain / floor", ratio(rounds, "jwtgate", "floor"), "<= 1.10", lambda v: v <= 1.10)
    row("plain / nginx plain", ratio(rounds, "jwtgate", "nginx"), "<= 0.85", lambda v: v <= 0.85)
    row("plain / HAProxy plain", ratio(rounds, "jwtgate", "haproxy"), "< 1", lambda v: v < 1)
    row("RS256 from cache / nginx plain", ratio(rounds, "jwtgate-rs256", "nginx"), "<= 0.90", lambda v: v <= 0.90)
    row("RS256 from cache, key by JWKS / key in a file", ratio(rounds, "jwtgate-jwks", "jwtgate-rs256"), "<= 1.05", lambda v: v <= 1.05)
    row("RS256 from cache + filter over revocations / without", ratio(rounds, "jwtgate-filtered", "jwtgate-rs256"), "<= 1.03",
        lambda v: v <= 1.03)
    row("RS256 from cache + Redis on every request / nginx plain", ratio(rounds, "jwtgate-strict", "nginx"), "<= 1.25", lambda v: v <= 1.25)
    batches = [r["jwtgate-strict"]["commands_per_write"] for r in rounds if "jwtgate-strict" in r]
    row("commands in one write to Redis, 64 connections", statistics.median(batches) if batches else None, "-", lambda _: True)
    first = [(r["jwtgate-rs256-first"]["us"] - r["jwtgate"]["us"]) / verify for r in rounds if {"jwtgate-rs256-first", "jwtgate"} <= set(r)]
    row(f"(first RS256 - plain) / openssl verify ({verify:.1f} us)", statistics.median(first) if first else None, "<= 1.10", lambda v: v <= 1.10)
    one = ratio(rounds, "jwtgate", "jwtgate-w2")
    row("two workers / one (requests per CPU time)", one and 2 * one, ">= 1.80", lambda v: v >= 1.80)
    row("10,000 routes / 10", ratio(rounds, "jwtgate-10000r", "jwtgate-10r"), "<= 1.05", lambda v: v <= 1.05)
    row("1 MiB / nginx", ratio(rounds, "jwtgate-1m", "nginx-1m"), "<= 0.55", lambda v: v <= 0.55)
    users = [r["jwtgate"]["user"] for r in rounds if "jwtgate" in r]
    row("user time of plain", statistics.median(users) if users else None, "<= 3 us", lambda v: v <= 3, " us")
    for program, value in idle.items():
        row(f"idle connection, {program}", value, "<= 512 B" if program == "jwtgate" else "-", lambda v: v <= 512 or program != "jwtgate", " B")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 rounds of 2 seconds")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--only", help="names of runs, with commas: " + " ".join(RUNS))
    parser.add_argument("--no-idle", action="store_true")
    parser.add_argument("--json", help="also write every row to this file")
    parser.add_argument("--flood", action="store_true", help="only the flood of random kids")
    options = parser.parse_args()
    count = options.rounds or (2 if options.quick else 5)
    seconds = options.seconds or (2 if options.quick else 5)
    names = options.only.split(",") if options.only else list(RUNS)
    prepare()
    keys = serve_keys()
    if options.flood:
        flood(keys, options.rounds or 3)
        return 0
    rounds, broken = [], set()
    for number in range(1, count + 1):
        rounds.append({})
        for name in names:
            if name in broken:
                continue
            try:
                rounds[-1][name] = result = measure(name, seconds)
            except RuntimeError as error:
                print(f"{name}: {error}", file=sys.stderr, flush=True)
                broken.add(name)
                continue
            print(f"round {number} {name}: {result['us']:.2f} us, {result['rps']:.0f}/s, p99 {result['p99']:.0f} us, "
                  f"non-2xx {result['non2xx']}, errors {result['errors']}", file=sys.stderr, flush=True)
    idle = {}
    for program in () if options.no_idle else ("nginx", "jwtgate"):
        try:
            idle[program] = idle_bytes(program, 1000)
        except (RuntimeError, OSError) as error:
            print(f"idle {program}: {error}", file=sys.stderr, flush=True)
            broken.add(program)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(rounds, indent=1))
    print_rows(rounds, names)
    print_ratios(rounds, openssl_verify_us(), idle)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
