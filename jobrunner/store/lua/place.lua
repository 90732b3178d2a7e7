-- Tell where a queued job stands: who has claimed it, else how many jobs wait ahead of it.
-- include: holder
-- KEYS[1] record hash   KEYS[2..] queue streams of its queue: those of higher levels, its own last
-- ARGV[1] group         ARGV[2] most entries to count in its own stream
-- Returns {worker or '', entries that wait before it in its own stream, entries that wait in the
--   others}. A job without an entry has {'', 0, 0}.
local own = KEYS[#KEYS]

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

local entry = redis.call('HGET', KEYS[1], 'entry')
if not entry then
  return {'', 0, 0}
end
local worker = holder_of(own, ARGV[1], entry)
if worker then
  return {worker, 0, 0}
end
local _, last = delivered(own)
-- Counted one by one: entries are deleted out of the middle, and the server keeps no rank.
local ahead = #redis.call('XRANGE', own, '(' .. last, '(' .. entry, 'COUNT', ARGV[2])
local above = 0
for index = 2, #KEYS - 1 do
  above = above + redis.call('XLEN', KEYS[index]) - delivered(KEYS[index])
end
return {'', ahead, above}
