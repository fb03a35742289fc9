-- wrk's side of tests/bench/run: sends the bytes of the file $REQUEST as they are, and prints the figures on one line.

local file = assert(io.open(assert(os.getenv("REQUEST"), "REQUEST must name a file"), "rb"))
local bytes = file:read("*a")
file:close()

function request()
  return bytes
end

function done(summary, latency, requests)
  local errors = summary.errors
  print(string.format(
    "requests=%d per_second=%.0f p50_us=%d p99_us=%d p999_us=%d max_us=%d errors=%d",
    summary.requests, summary.requests / summary.duration * 1e6,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
