-- End a cron's pause; the fire times within it count as handled.
-- include: clock handled
-- flags: allow-oom
-- KEYS[1] cron hash
-- ARGV: none
-- Returns 1 if it was paused, else 0.
if redis.call('HDEL', KEYS[1], 'paused') == 0 then
  return 0
end
local now = now_ms()
local text, since = unpack(redis.call('HMGET', KEYS[1], 'handled', 'since'))
local handled = math.max(handled_of(KEYS[1], now, text, since) or 0, now)
redis.call('HSET', KEYS[1], 'handled', handled, 'since', handled)
return 1
