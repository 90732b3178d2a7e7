-- Hand out queued entries to a worker that is not buried, higher priorities first.
-- flags: allow-oom
-- KEYS[1] workers zset
-- KEYS[2..] queue streams: all queues' high, then all queues' normal, then all queues' low ones
-- ARGV[1] group     ARGV[2] worker    ARGV[3] number of queues    ARGV[4] free slots
-- ARGV[5], ARGV[6] entries to take from the low and the normal level first: their fair share
-- ARGV[7] rotation: which queue of a level comes first
-- Returns false if the worker is buried, else a list of {index of the stream from 0, entries}.
-- A lease that has ended is no reason: after a clock was set forward, all of them have. Whether it
-- is late for its lease the worker knows by itself, and begins nothing then. Nor is a zset of another
-- type a burial: `orphans` makes it anew.
if not redis.pcall('ZSCORE', KEYS[1], ARGV[2]) then
  return false
end
local queues, free, rotation = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[7])
local taken, failure = {}, nil
local HIGH, NORMAL, LOW = 0, 1, 2

local function take(level, most)
  local wanted = math.min(most, free)
  for step = 0, queues - 1 do
    if wanted <= 0 then
      return
    end
    local index = level * queues + (step + rotation) % queues
    local reply = redis.pcall('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', wanted,
      'STREAMS', KEYS[2 + index], '>')
    if reply and reply.err then
      -- A damaged queue must not keep a worker from the others.
      failure = not is_damage(reply.err) and reply or failure
    elseif reply then
      local entries = reply[1][2]
      taken[#taken + 1] = {index, entries}
      wanted = wanted - #entries
      free = free - #entries
    end
  end
end

take(LOW, tonumber(ARGV[5]))
take(NORMAL, tonumber(ARGV[6]))
take(HIGH, free)
take(NORMAL, free)
take(LOW, free)
-- An error must not hide entries of other streams: they are this worker's by now.
return #taken == 0 and failure or taken
