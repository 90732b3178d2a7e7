-- Queues a job again: adds an entry that tells how often it was begun, or returns nil where its
-- queue is damaged. Then nothing else must be written: the job stays where it is until that is mended.
local function add_again(stream, id, message, attempts, lost, fence, base)
  local reply = redis.pcall('XADD', stream, '*', 'id', id, 'm', message, 'n', attempts, 'l', lost,
    'f', fence, 'b', base)
  if type(reply) == 'table' then
    if not is_damage(reply.err) then
      return error(reply)
    end
    return nil
  end
  return reply
end
