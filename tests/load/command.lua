-- A command that the cache answers, as a user: the token is in the environment. With DAUR_PAUSE, each client waits so
-- many milliseconds between its requests.
wrk.method = "POST"
wrk.path = "/api/command"
wrk.body = '{"command":"uname"}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("DAUR_TOKEN")

local pause = tonumber(os.getenv("DAUR_PAUSE"))
if pause then
  function delay()
    return pause
  end
end
