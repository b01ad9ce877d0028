-- Put one envelope into the inbox of every node that has members of a group. O(nodes).
-- KEYS[1] group
-- ARGV[1] stamp  ARGV[2] envelope  ARGV[3] inbox prefix  ARGV[4] node prefix
-- ARGV[5] most entries of an inbox  ARGV[6] expiry (ms)  ARGV[7] group expiry (ms)
-- Returns {nodes reached, nodes whose inbox was full, normal channels that are members ...}
local time = redis.call('TIME')
local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[7]
local members = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
local answer = {0, 0}
for i = 1, #members, 2 do
  local member = members[i]
  if string.byte(member) == 64 then -- '@': a node
    local id = string.sub(member, 2)
    local inbox = ARGV[3] .. id
    if redis.call('EXISTS', ARGV[4] .. id) == 0 then
      redis.call('ZREM', KEYS[1], member)
      redis.call('DEL', inbox)
    else
      local length = redis.call('XLEN', inbox)
      if length >= tonumber(ARGV[5]) then
        answer[2] = answer[2] + 1
      else
        redis.call('XADD', inbox, '*', 's', ARGV[1], 'e', ARGV[2])
        if length == 0 then redis.call('PEXPIRE', inbox, ARGV[6]) end
        answer[1] = answer[1] + 1
      end
    end
  elseif tonumber(members[i + 1]) <= oldest then
    redis.call('ZREM', KEYS[1], member)
  else
    answer[#answer + 1] = member
  end
end
return answer
