-- Note that workers are being stopped: what they cannot end in time is no loss.
-- Not of a worker that was buried: how it died was judged before. A full server notes it, too.
-- include: clock
-- flags: allow-oom
-- KEYS[1] workers zset  KEYS per worker: worker hash
-- ARGV: the workers
-- Returns how many were noted now.
local noted = 0
for index, worker in ipairs(ARGV) do
  if redis.call('ZSCORE', KEYS[1], worker) then
    noted = noted + redis.call('HSETNX', KEYS[index + 1], 'stopping_since', now_ms())
  end
end
return noted
