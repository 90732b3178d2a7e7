-- Tell where a queued job stands: who has claimed it, how many jobs wait ahead, and who is busy.
-- include: holder
-- KEYS[1] record hash   KEYS[2..] queue streams of its queue: those of higher levels, then its own
-- KEYS after them: every queue stream
-- ARGV[1] group         ARGV[2] most entries to count in its own stream
-- ARGV[3] number of streams of its queue
-- Returns {worker or '', entries that wait before it in its own stream, entries that wait in those
--   of higher levels, flat list of workers and the number of entries that each has claimed}.
local last_own = 1 + tonumber(ARGV[3])
local own = KEYS[last_own]

-- The pending entries and the id delivered last; a stream or group may not be there yet.
local function delivered(stream)
  local groups = redis.pcall('XINFO', 'GROUPS', stream)
  for _, group in ipairs(groups.err and {} or groups) do
    local fields = {}
    for at = 1, #group, 2 do
      fields[group[at]] = group[at + 1]
    end
    if fields.name == ARGV[1] then
      return fields.pending, fields['last-delivered-id']
    end
  end
  return 0, '0-0'
end

-- Now, and not at the workers' last heartbeats: who asks has often just submitted.
local function claimed_by_worker()
  local numbers = {}
  for index = last_own + 1, #KEYS do
    local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[index], ARGV[1])
    for _, consumer in ipairs(consumers.err and {} or consumers) do
      numbers[consumer[2]] = (numbers[consumer[2]] or 0) + consumer[4]
    end
  end
  local flat = {}
  for worker, number in pairs(numbers) do
    flat[#flat + 1] = worker
    flat[#flat + 1] = number
  end
  return flat
end

local entry = redis.call('HGET', KEYS[1], 'entry')
-- A damaged record may have anything there.
entry = entry and string.match(entry, '^%d+%-%d+$')
local worker = entry and holder_of(own, ARGV[1], entry)
if worker or not entry then
  return {worker or '', 0, 0, {}}
end
local _, last = delivered(own)
-- Counted one by one: entries are deleted out of the middle, and the server keeps no rank.
local ahead = #redis.call('XRANGE', own, '(' .. last, '(' .. entry, 'COUNT', ARGV[2])
local above = 0
for index = 2, last_own - 1 do
  above = above + redis.call('XLEN', KEYS[index]) - delivered(KEYS[index])
end
return {'', ahead, above, claimed_by_worker()}
