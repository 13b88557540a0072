"""What schemathesis needs to know to ask daur-host as its user would: who that is, and that some questions end that.

The environment names the server's origin (DAUR_ORIGIN) and the user's password (DAUR_PASSWORD).
"""

import os

import requests
import schemathesis

ORIGIN, PASSWORD = os.environ["DAUR_ORIGIN"], os.environ["DAUR_PASSWORD"]
# After these, the token may count no more.
ENDING = {"logout", "refresh", "endSession", "changeUser", "removeUser"}
token = None


def login():
    answer = requests.post(ORIGIN + "/api/login", json={"user": "ada", "password": PASSWORD}, timeout=20)
    answer.raise_for_status()
    return answer.json()["token"]


@schemathesis.hook
def before_call(context, case, kwargs):
    global token
    name = case.operation.definition.raw["operationId"]
    # She who asks must be able to go on asking.
    if name in {"changeUser", "removeUser"} and "ada" in str(case.path_parameters.get("name")):
        case.path_parameters["name"] = "bob"
    if case.operation.definition.raw.get("security") == []:
        return
    token = token or login()
    case.headers["Authorization"] = f"Bearer {token}"
    if name in ENDING:
        token = None
