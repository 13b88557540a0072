// What has changed on the server and its devices, the latest first.
import { $, api, count, empty, moment, refusal, rows, state, text, words } from "./dom.js";

const KEEP = 50;
const CLASSES = { red: "bad", amber: "warn", green: "good" };
let told = [], turn = 0;

export function forgetNotifications() { told = []; turn += 1; $("notifications").tBodies[0].replaceChildren(); text($("notifications-sub"), ""); }

// All that is kept, with each new stream: what came meanwhile, or before a restart that counts anew, was not told to this page.
export async function loadNotifications() {
  const mine = (turn += 1);
  const r = await api("GET", `/api/notifications?limit=${KEEP}`).catch(() => null);
  if (mine !== turn || !state.session) return;
  if (!r?.ok) { text($("notifications-sub"), r ? refusal(r) : "the server does not answer"); return; }
  const latest = r.data.notifications[r.data.notifications.length - 1]?.number ?? -1;
  // What has come by the stream since the answer was written.
  const newer = told.filter((one) => one.number > latest && one.turn === mine);
  told = [...r.data.notifications, ...newer];
  draw();
}

export function notified(one) {
  if (!one) return;
  if (one.missed) { loadNotifications(); return; }
  told.push({ ...one, turn });
  draw();
}

function draw() {
  told = told.slice(-KEEP);
  const body = $("notifications").tBodies[0], last = told[told.length - 1];
  text($("notifications-sub"), last ? `${count(last.number + 1)} since the server's start` : "");
  if (!told.length) { empty(body, "Nothing has changed so far."); return; }
  rows(body, [...told].reverse(), (one) => one.number, (one) => {
    const topic = String(one.topic), last = topic.slice(topic.lastIndexOf(".") + 1);
    return [moment(one.at_ms), [words(last), CLASSES[one.level] ?? ""], one.text, [topic, "mono"]];
  });
}
