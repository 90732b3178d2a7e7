-- Fold the oldest items of the tally into statistics, as the caller has added them up.
-- flags: allow-oom
-- KEYS[1] tally list    KEYS[2] folds hash
-- KEYS[3..] statistics hashes, one each
-- ARGV[1] number of folds that the caller has seen, or ''      ARGV[2] number of items
-- ARGV[3] instant of the first item, ms                        ARGV[4] days that are kept
-- ARGV per statistics hash: its life in ms, number of tasks; per task: its name, its tally
-- Returns 1, or 0 when nothing was done since others have folded meanwhile.
if (redis.call('HGET', KEYS[2], 'folds') or '') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[2], 'folds', (tonumber(ARGV[1]) or 0) + 1, 'days', ARGV[4])
redis.call('HSETNX', KEYS[2], 'since', ARGV[3])
redis.call('LTRIM', KEYS[1], ARGV[2], -1)
local at = 5
for index = 3, #KEYS do
  local life, tasks = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  for _ = 1, tasks do
    redis.call('HSET', KEYS[index], ARGV[at], ARGV[at + 1])
    at = at + 2
  end
  redis.call('PEXPIRE', KEYS[index], life)
end
return 1
