-- Find workers that are gone but have claimed entries, and forget those that have none left.
-- include: clock returned
-- flags: allow-oom
-- KEYS[1] workers zset  KEYS[2] server hash   KEYS[3..] queue streams
-- ARGV[1] group         ARGV[2] worker known to be dead, or ''
-- ARGV[3] 1 to bury the workers whose lease has ended: they cannot renew any more; else ''
-- ARGV[4] for how long after the server's return no lease has ended, milliseconds
-- ARGV[5] how long a lease lasts, milliseconds: what workers get when all leases are lost, since their
--   key is of another type, and when one would not end for longer than any lasts
-- Returns a list of {index of the stream from 0, worker}.
-- Leases that are lost are no reason to take anything from workers that live: all that have claimed
-- get a new one. Who lives renews it; from the others their jobs are taken when it has ended.
if type(redis.pcall('ZCARD', KEYS[1])) == 'table' then
  redis.call('DEL', KEYS[1])
  for index = 3, #KEYS do
    local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[index], ARGV[1])
    for _, consumer in ipairs(consumers.err and {} or consumers) do
      redis.call('ZADD', KEYS[1], now_ms() + ARGV[5], consumer[2])
    end
  end
end
if ARGV[2] ~= '' then
  redis.call('ZREM', KEYS[1], ARGV[2])
end
local now = now_ms()
-- A clock that was ahead has left leases that would not end for as long as it was.
for _, worker in ipairs(redis.call('ZRANGE', KEYS[1], now + 4 * ARGV[5], '+inf', 'BYSCORE')) do
  redis.call('ZADD', KEYS[1], 'XX', now + ARGV[5], worker)
end
-- Asked each time: to know a return, the run before it must have been noted.
if ms_since_return(KEYS[2], now) >= tonumber(ARGV[4]) and ARGV[3] ~= '' then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. now)
end
local orphans = {}
for index = 3, #KEYS do
  local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[index], ARGV[1])
  for _, consumer in ipairs(consumers.err and {} or consumers) do
    local name, pending = consumer[2], consumer[4]
    if not redis.call('ZSCORE', KEYS[1], name) then
      if pending > 0 then
        orphans[#orphans + 1] = {index - 3, name}
      else
        redis.call('XGROUP', 'DELCONSUMER', KEYS[index], ARGV[1], name)
      end
    end
  end
end
return orphans
