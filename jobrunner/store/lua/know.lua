-- Note for a while which tasks a daemon knows, instead of those it knew before.
-- include: clock
-- flags: allow-oom
-- KEYS[1] knowers zset   KEYS[2] the daemon's set of tasks
-- ARGV[1] daemon         ARGV[2] the while, milliseconds   ARGV[3..] tasks
-- Returns until when they are noted, milliseconds.
local now = now_ms()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('DEL', KEYS[2])
for index = 3, #ARGV do
  redis.call('SADD', KEYS[2], ARGV[index])
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return now + ARGV[2]
