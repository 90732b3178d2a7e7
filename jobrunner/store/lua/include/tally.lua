-- What `stats` tells, summed up here per task and written once per call: ends by their state, and how
-- long attempts waited and ran, as logarithmic sizes. store/tallies.py says what they mean.
local TALLY_MS = 5000
local SIZES_PER_E = 1 / math.log(1.04 / 0.96)
local tallies = {}
local function sums_of(task)
  local sums = tallies[task or '?']
  if not sums then
    sums = {}
    tallies[task or '?'] = sums
  end
  return sums
end
local function tally(task, what)
  local sums = sums_of(task)
  sums[what] = (sums[what] or 0) + 1
end
local function size_of(ms)
  return ms < 1 and 0 or math.ceil(math.log(ms) * SIZES_PER_E) + 1
end
-- Plain numbers, since a text per job would cost more than all else: sizes of what ran are 0, 1, ...,
-- of what waited -1, -2, ...
local function tally_attempt(task, waited_ms, ran_ms)
  local sums = sums_of(task)
  local ran, waited = size_of(ran_ms), -1 - size_of(waited_ms)
  sums[ran] = (sums[ran] or 0) + 1
  sums[waited] = (sums[waited] or 0) + 1
end
local function write_tally(key, now)
  local head = math.floor(now / TALLY_MS) .. ':'
  for task, sums in pairs(tallies) do
    for what, by in pairs(sums) do
      if type(what) == 'number' then
        what = what < 0 and 'w' .. -1 - what or 'r' .. what
      end
      -- A damaged number must not stop the transition that it only counts.
      redis.pcall('HINCRBY', key, head .. what .. ':' .. task, by)
    end
  end
end
