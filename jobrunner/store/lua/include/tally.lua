-- What `stats` tells, summed up here per task and written once per call: ends by their state, and how
-- long attempts waited and ran, as logarithmic sizes. store/tallies.py says what they mean.
local SIZES_PER_E = 1 / math.log(1.035 / 0.965)
local tallies = {}
local waits, runs = {}, {} -- sizes as text, by milliseconds: the jobs of a batch are alike
local function tally_of(task)
  local sums = tallies[task or '?']
  if not sums then
    sums = {}
    tallies[task or '?'] = sums
  end
  return sums
end
local function size_of(ms)
  return tonumber(ms) < 1 and 0 or math.ceil(math.log(ms) * SIZES_PER_E) + 1
end
local function tally_attempt(sums, entry, began_ms, ran_ms)
  -- The id of its entry begins with the instant when it was queued: 13 digits until the year 2286.
  local waited_ms = began_ms - (tonumber(string.sub(entry, 1, 13)) or began_ms)
  -- Less than nothing after a clock was set back; and a damaged record may say `nan`.
  waited_ms = waited_ms > 0 and waited_ms or 0
  local waited, ran = waits[waited_ms], runs[ran_ms]
  if not waited then
    waited = 'w' .. size_of(waited_ms)
    waits[waited_ms] = waited
  end
  if not ran then
    ran = 'r' .. size_of(ran_ms)
    runs[ran_ms] = ran
  end
  sums[waited] = (sums[waited] or 0) + 1
  sums[ran] = (sums[ran] or 0) + 1
end
-- One command, whatever was counted. Lua makes text of a number slowly: no number for a 1.
local function write_tally(key, now)
  local items, head = {}, math.floor(now / 1000) .. ' '
  for task, sums in pairs(tallies) do
    local parts = {}
    for what, by in pairs(sums) do
      parts[#parts + 1] = by == 1 and what or what .. '=' .. by
    end
    items[#items + 1] = head .. table.concat(parts, ',') .. ' ' .. task
  end
  if items[1] then
    -- A damaged key must not stop the transition that is only counted here.
    redis.pcall('RPUSH', key, unpack(items))
  end
end
