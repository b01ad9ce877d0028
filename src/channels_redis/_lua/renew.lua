-- Renew the lease of a node in topics, and end those that have run out. O(topics), and O(members)
-- of what ends.
-- KEYS members, leases, version and here, of this node, of each topic in turn
-- ARGV[1], ARGV[3] and ARGV[5] as in presence.lua; ARGV[2] and ARGV[4] are unused
-- ARGV[6] node  ARGV[7] lease (ms)  ARGV[8 ...] channel and prefix of here of each topic in turn
-- Returns for each topic 1, or 0 if the node is not known to have anybody there.
local now = now_ms()
local answer = {}
for i = 1, #KEYS / 4 do
  MEMBERS, LEASES, VERSION = KEYS[4 * i - 3], KEYS[4 * i - 2], KEYS[4 * i - 1]
  CHANNEL, HERE = ARGV[2 * i + 6], ARGV[2 * i + 7]
  answer[i] = redis.call('PEXPIRE', KEYS[4 * i], ARGV[5])
  if answer[i] == 1 then
    redis.call('ZADD', LEASES, now + ARGV[7], ARGV[6])
    redis.call('PEXPIRE', LEASES, ARGV[5])
    redis.call('PEXPIRE', MEMBERS, ARGV[5])
  end
  sweep(now)
  tell()
end
return answer
