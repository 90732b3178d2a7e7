-- Note how far a job is, if the attempt that says so still has it.
-- flags: allow-oom
-- KEYS[1] record hash
-- ARGV[1] fence of the attempt's entry   ARGV[2] progress as JSON
-- Returns 1 if it was written, else 0.
local state, fence = unpack(redis.call('HMGET', KEYS[1], 'state', 'fence'))
-- `queued`: the start record of a job is written late. A record without a fence: fence 1.
if (state ~= 'running' and state ~= 'queued') or (fence or '1') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'progress', ARGV[2])
return 1
