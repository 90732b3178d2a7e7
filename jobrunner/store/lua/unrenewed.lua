-- Find workers that have not renewed for a while, and locks that have little time left.
-- include: clock
-- KEYS[1] workers zset    KEYS[2] locks zset   KEYS[3..] hashes of the workers
-- ARGV[1] a while and little time, ms          ARGV[2..] workers, as many as hashes
-- Returns {the silent workers, names of locks with such a holder, the time in ms}.
local now = now_ms()
local silent = {}
for index = 2, #ARGV do
  local has_lease = redis.call('ZSCORE', KEYS[1], ARGV[index])
  -- One that is held up before its first renewal has the lease of its enlisting, two whiles long.
  local renewed = number_of(redis.call('HGET', KEYS[index + 1], 'renewed_at'),
    has_lease and has_lease - 2 * ARGV[1])
  if has_lease and renewed and now - renewed > tonumber(ARGV[1]) then
    silent[#silent + 1] = ARGV[index]
  end
end
return {silent, redis.call('ZRANGE', KEYS[2], '-inf', '(' .. now + ARGV[1], 'BYSCORE'), now}
