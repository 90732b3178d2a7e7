-- Take up a cron: with its schedule unchanged it goes on after the last handled fire time.
-- include: clock handled
-- flags: allow-oom
-- KEYS[1] cron hash
-- ARGV[1] schedule
-- Returns {the instant (ms) after which fire times are not handled yet, the one (ms) that it was set
--   back from since that was ahead of the clock, or 0}.
local now = now_ms()
local schedule, text, since = unpack(redis.call('HMGET', KEYS[1], 'schedule', 'handled', 'since'))
local handled, set_back_from = handled_of(KEYS[1], now, text, since)
if not handled or schedule ~= ARGV[1] then
  if handled and handled > now + LARGEST_SKEW_MS then
    -- Its own times until then have had their jobs, those of the new schedule have not; the records
    -- tell which are both.
    handled, set_back_from = now, handled
  end
  -- Else never back: a fire time that was handled under the old schedule must not be made again.
  handled = math.max(now, handled or 0)
  redis.call('HSET', KEYS[1], 'schedule', ARGV[1], 'handled', handled, 'since', handled)
  redis.call('HDEL', KEYS[1], 'made_after', 'made_until')
end
return {handled, set_back_from or 0}
