-- Note the next fire times of crons, for `status` to show.
-- flags: allow-oom
-- KEYS: cron hashes
-- ARGV per cron: its next fire time, milliseconds, or '' when it has none
-- Returns the number of crons.
for index, cron in ipairs(KEYS) do
  if ARGV[index] == '' then
    redis.call('HDEL', cron, 'next')
  else
    redis.call('HSET', cron, 'next', ARGV[index])
  end
end
return #KEYS
