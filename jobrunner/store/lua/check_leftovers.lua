-- Find output and idempotency keys of jobs that are gone; delete them if asked.
-- flags: allow-oom
-- KEYS per leftover: its key, record hash of its job
-- ARGV[1] 1 to delete else ''  ARGV per leftover: the job id that its key holds, '' for output
-- Returns per leftover 1 if its job is gone, else 0.
local replies = {}
for index = 2, #ARGV do
  local key, record = KEYS[index * 2 - 3], KEYS[index * 2 - 2]
  local is_gone = redis.call('EXISTS', record) == 0 and redis.call('EXISTS', key) == 1
  -- The idempotency key may belong to a later job by now.
  if is_gone and ARGV[index] ~= '' then
    is_gone = redis.call('GET', key) == ARGV[index]
  end
  if is_gone and ARGV[1] ~= '' then
    redis.call('DEL', key)
  end
  replies[#replies + 1] = is_gone and 1 or 0
end
return replies
