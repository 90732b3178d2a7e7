-- Make parked jobs due now: a worker has begun that knows their task.
-- include: clock
-- flags: allow-oom
-- KEYS[1] scheduled zset  KEYS[2] parked zset  KEYS per job: record hash
-- ARGV per job: id
-- Returns the number of jobs that were parked.
local now = now_ms()
local parked = 0
for index, id in ipairs(ARGV) do
  -- Only those that still wait, and none later than before.
  redis.call('ZADD', KEYS[1], 'XX', 'LT', now, id)
  parked = parked + redis.call('ZREM', KEYS[2], id)
  -- A worker that does not know it may be faster: then it waits for a moment only.
  redis.call('HDEL', KEYS[index + 2], 'parked')
end
return parked
