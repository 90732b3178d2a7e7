-- Find crons that were handled ahead of the store's clock, and set them back if asked.
-- include: clock handled
-- flags: allow-oom
-- KEYS per cron: its hash
-- ARGV[1] 1 to set back else ''
-- Returns per cron the instant (ms) that it was handled until, or 0 if all is well.
local now = now_ms()
local replies = {}
for index = 1, #KEYS do
  local handled, since = unpack(redis.call('HMGET', KEYS[index], 'handled', 'since'))
  handled, since = instant_of(handled), instant_of(since)
  local is_ahead = handled and must_go_back(now, handled, since)
  if is_ahead and ARGV[1] ~= '' then
    handled_of(KEYS[index], now, handled, since)
  end
  replies[index] = is_ahead and handled or 0
end
return replies
