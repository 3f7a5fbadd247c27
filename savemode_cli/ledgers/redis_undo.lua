-- Take back the holds of steps that their client has given up, and refuse these steps should they arrive yet.
-- KEYS[1]: see redis_step.lua. ARGV: for each step its name, the number of ids, and the ids of the holds that it asked for.
local P = KEYS[1]
local call = redis.call
local n = 1
while ARGV[n] do
  local step, ids = ARGV[n], tonumber(ARGV[n + 1])
  for place = n + 2, n + 1 + ids do
    local id = ARGV[place]
    local hold = call('HMGET', P .. 'h:' .. id, 't', 'a', 'r', 'n')
    if hold[1] == step then
      for number = 1, hold[3] == '1' and 0 or tonumber(hold[4]) do
        local key = call('HGET', P .. 'h:' .. id, tostring(number))
        local less = hold[2] == '0' and '0' or '-' .. hold[2]
        call('HINCRBY', P .. 'b:' .. key, 'o', less)
        call('HINCRBY', P .. 'b:' .. key, 'u', less)
        call('ZREM', P .. 'e:' .. key, hold[2] .. ':' .. id)
      end
      call('ZREM', P .. 'open', id)
      call('DEL', P .. 'h:' .. id)
    end
  end
  call('SET', P .. 'fence:' .. step, '1', 'EX', '86400')
  n = n + 2 + ids
end
return {'ok', call('TIME')}
