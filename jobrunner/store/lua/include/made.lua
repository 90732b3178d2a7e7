-- What is noted of the jobs that a call has made, once for all of them: their queues, for workers and
-- lists to find, and per task (and `*` for any) the last job.
local made_queues, made_last = {}, {}
local function note_made(id, task, queue)
  made_queues[queue] = true
  made_last[task], made_last['*'] = id, id
end
local function write_made(queues_key, last_key)
  for queue in pairs(made_queues) do
    redis.call('SADD', queues_key, queue)
  end
  local last = {}
  for task, id in pairs(made_last) do
    last[#last + 1] = task
    last[#last + 1] = id
  end
  if last[1] then
    redis.call('HSET', last_key, unpack(last))
  end
end
