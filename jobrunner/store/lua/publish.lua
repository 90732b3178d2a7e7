-- Replace what clients are told of a manifest. A full server takes it: a daemon must be able to start.
-- flags: allow-oom
-- KEYS[1] manifest hash
-- ARGV: names and values in turn
-- Returns the number of fields.
local CHUNK = 1000 -- fields and values per command: as many as unpack can surely take
redis.call('DEL', KEYS[1])
for first = 1, #ARGV, CHUNK do
  redis.call('HSET', KEYS[1], unpack(ARGV, first, math.min(first + CHUNK - 1, #ARGV)))
end
return #ARGV / 2
