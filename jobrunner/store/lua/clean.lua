-- Take damaged parts out of a key, as long as they are what the caller saw.
-- include: clock
-- flags: allow-oom
-- KEYS[1] key
-- ARGV[1] its type    ARGV[2] ms after now for members that are rescored instead, or ''
-- ARGV per part: name (a field, member or item), what it held (a value or score) or '', what it holds
--   from now on or '' (of a hash)
-- Returns per part 1 if it was mended, else 0.
local now = now_ms()
local replies = {}
for at = 3, #ARGV, 3 do
  local name, held, new = unpack(ARGV, at, at + 2)
  local mended = 0
  if ARGV[1] == 'hash' and (redis.call('HGET', KEYS[1], name) or '') == held then
    mended = new ~= '' and redis.call('HSET', KEYS[1], name, new) + 1
      or redis.call('HDEL', KEYS[1], name)
  elseif ARGV[1] == 'zset' and redis.call('ZSCORE', KEYS[1], name) == held then
    if ARGV[2] ~= '' and new ~= '' then
      redis.call('ZADD', KEYS[1], 'XX', now + ARGV[2], name)
      mended = 1
    else
      mended = redis.call('ZREM', KEYS[1], name)
    end
  elseif ARGV[1] == 'set' then
    mended = redis.call('SREM', KEYS[1], name)
  elseif ARGV[1] == 'list' then
    mended = redis.call('LREM', KEYS[1], 0, name)
  elseif ARGV[1] == 'string' and redis.call('GET', KEYS[1]) == held then
    mended = 1
    if new ~= '' then
      redis.call('SET', KEYS[1], now)
    else
      redis.call('DEL', KEYS[1])
    end
  end
  replies[#replies + 1] = mended > 0 and 1 or 0
end
return replies
