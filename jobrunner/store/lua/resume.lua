-- End a cron's pause; the fire times within it count as handled.
-- include: clock
-- KEYS[1] cron hash
-- ARGV: none
-- Returns 1 if it was paused, else 0.
if redis.call('HDEL', KEYS[1], 'paused') == 0 then
  return 0
end
local handled = tonumber(redis.call('HGET', KEYS[1], 'handled') or 0)
redis.call('HSET', KEYS[1], 'handled', math.max(handled, now_ms()))
return 1
