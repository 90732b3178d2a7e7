-- Make the consumer groups of queues that have none, from the first entry on.
-- flags: allow-oom
-- KEYS[1] queues set  KEYS[2..] queue streams
-- ARGV[1] group       ARGV[2..] names of the queues
-- Returns the number of groups made.
local made = 0
for index = 2, #KEYS do
  local reply = redis.pcall('XGROUP', 'CREATE', KEYS[index], ARGV[1], '0', 'MKSTREAM')
  if not reply.err then
    made = made + 1
  elseif not string.find(reply.err, 'BUSYGROUP', 1, true) and not is_damage(reply.err) then
    return reply
  end
end
redis.call('SADD', KEYS[1], unpack(ARGV, 2))
return made
