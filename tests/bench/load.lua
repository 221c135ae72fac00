-- SPDX-License-Identifier: Apache-2.0
-- wrk script.  Environment: TOKENS (file, a token a line; empty: no Authorization), NTOK (how many of
-- its lines in turn), REQ_PATH, SKIP (lines that the warm-up begins after), PAUSE_MS (before each
-- request of a connection), BODY (of a POST: a form), BASIC (credentials), OUT (file for the result).
local tokens, ntok = os.getenv("TOKENS") or "", tonumber(os.getenv("NTOK") or "1")
local path = os.getenv("REQ_PATH") or "/"
local requests, i, n = {}, 0, 0

wrk.path = path
wrk.headers["User-Agent"] = "bench/1.0"
wrk.headers["Accept"] = "application/json"

if os.getenv("BODY") then
  wrk.method, wrk.body = "POST", os.getenv("BODY")
  wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
end
if os.getenv("BASIC") then
  wrk.headers["Authorization"] = "Basic " .. os.getenv("BASIC")
end

if tokens ~= "" and ntok <= 1 then
  local file = assert(io.open(tokens))
  wrk.headers["Authorization"] = "Bearer " .. file:read("*l")
  file:close()
end

local pause_ms = tonumber(os.getenv("PAUSE_MS") or "0")

if pause_ms > 0 then
  delay = function() return math.random(0, 2 * pause_ms) end
end

function init(args)
  if tokens ~= "" and ntok > 1 then
    for line in io.lines(tokens) do
      wrk.headers["Authorization"] = "Bearer " .. line
      n = n + 1
      requests[n] = wrk.format(nil, path)
      if n >= ntok then break end
    end
    -- The warm-up must not show a cache the tokens that are measured.
    i = math.floor(n * tonumber(os.getenv("SKIP") or "0"))
    request = function() i = i % n + 1; return requests[i] end
  end
end

function done(summary, latency, _)
  local file = assert(io.open(os.getenv("OUT"), "w"))
  file:write(string.format(
    '{"requests":%d,"duration_us":%d,"errors":%d,"non2xx":%d,"p50":%.1f,"p99":%.1f}\n',
    summary.requests, summary.duration,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    summary.errors.status, latency:percentile(50), latency:percentile(99)))
  file:close()
end
