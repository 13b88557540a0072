-- A command that the cache answers, as a user: the token is in the environment. With DAUR_PAUSE, each client waits so
-- many milliseconds between its requests; and with a thread for each client, what each of them got is told at the end.
wrk.method = "POST"
wrk.path = "/api/command"
wrk.body = '{"command":"uname"}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("DAUR_TOKEN")

local pause = tonumber(os.getenv("DAUR_PAUSE"))
if pause then
  local threads = {}
  answered, other = 0, 0

  function setup(thread)
    table.insert(threads, thread)
  end

  function delay()
    return pause
  end

  function response(status)
    if status == 200 then
      answered = answered + 1
    else
      other = other + 1
    end
  end

  function done()
    local least, others = math.huge, 0
    for _, thread in ipairs(threads) do
      least = math.min(least, thread:get("answered"))
      others = others + thread:get("other")
    end
    print(string.format("least of a client: %d, other answers: %d", least, others))
  end
end
