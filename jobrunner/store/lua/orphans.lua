-- Find workers that are gone but have claimed entries, and forget those that have none left.
-- include: clock
-- flags: allow-oom
-- KEYS[1] workers zset  KEYS[2..] queue streams
-- ARGV[1] group         ARGV[2] worker known to be dead, or ''
-- ARGV[3] 1 to bury the workers whose lease has ended: they cannot renew any more; else ''
-- Returns a list of {index of the stream from 0, worker}.
if ARGV[2] ~= '' then
  redis.call('ZREM', KEYS[1], ARGV[2])
end
if ARGV[3] ~= '' then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. now_ms())
end
local orphans = {}
for index = 2, #KEYS do
  local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[index], ARGV[1])
  for _, consumer in ipairs(consumers.err and {} or consumers) do
    local name, pending = consumer[2], consumer[4]
    if not redis.call('ZSCORE', KEYS[1], name) then
      if pending > 0 then
        orphans[#orphans + 1] = {index - 2, name}
      else
        redis.call('XGROUP', 'DELCONSUMER', KEYS[index], ARGV[1], name)
      end
    end
  end
end
return orphans
