-- Take up a cron: with its schedule unchanged it goes on after the last handled fire time.
-- KEYS[1] cron hash
-- ARGV[1] schedule   ARGV[2] start for a new or changed schedule, milliseconds
-- Returns the instant (ms) after which fire times are not handled yet.
local LATEST = 253402214400000 -- the end of the year 9999: what is later, or no number, is damaged
local schedule, text = unpack(redis.call('HMGET', KEYS[1], 'schedule', 'handled'))
local handled = text and tonumber(text)
if handled and not (handled >= 0 and handled <= LATEST) then
  handled = nil
end
if schedule == ARGV[1] and handled then
  return handled
end
redis.call('HSET', KEYS[1], 'schedule', ARGV[1])
-- Never back: a fire time that was handled under the old schedule must not be made again.
local start = math.max(tonumber(ARGV[2]), handled or 0)
redis.call('HSET', KEYS[1], 'handled', start)
return start
