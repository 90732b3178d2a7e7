-- Note for a while that the server is nearly full, so that no more jobs are made; or that it is not.
-- flags: allow-oom
-- KEYS[1] string that says so
-- ARGV[1] the while, milliseconds, or '' when there is room
-- Returns 1 if that is news, else 0.
if ARGV[1] == '' then
  return redis.call('DEL', KEYS[1])
end
local is_known = redis.call('EXISTS', KEYS[1])
redis.call('SET', KEYS[1], 1, 'PX', ARGV[1])
return 1 - is_known
