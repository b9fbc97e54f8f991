-- For wrk: GET the paths of a file in turn, or POST its one line as JSON, and tell the figures in one line of JSON.
-- Arguments: the method, the file.

local paths = {}
local turn = 0

function init(args)
  for line in io.lines(args[2]) do
    paths[#paths + 1] = line
  end
  if args[1] == "POST" then
    wrk.method = "POST"
    wrk.path = "/ingest"
    wrk.headers["Content-Type"] = "application/json"
    wrk.body = paths[1]
    paths = { wrk.path }
  end
  for index, path in ipairs(paths) do
    paths[index] = wrk.format(nil, path)
  end
end

function request()
  turn = turn % #paths + 1
  return paths[turn]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "microseconds": %d, "errors": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.timeout + errors.status,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
