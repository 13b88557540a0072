// The dashboard: the session, the stream of statuses, and what shows them. No library, no outside request.
import { $, announce, api, refusal, span, state, text, whenLoggedOut } from "./dom.js";
import { history, ranges } from "./charts.js";
import { analytics, batches, cache, errors, health, memory, models, operations, overview, pool, security, system, verdict, work } from "./panels.js";
import { breakers, charts, point, tracked } from "./live.js";
import { devices, forget } from "./devices.js";
import { forgetLogs, logs } from "./logs.js";
import { forgetNotifications, loadNotifications, notified } from "./notifications.js";
import { jobs } from "./actions.js";
import { auditing, stopAuditing } from "./audit.js";

const STALE_MS = 3500; // three missed updates and a little
let before = null, source = null, staleTimer = null, renewTimer = null, again = null, opened = 0;

async function begin() {
  clearTimeout(again);
  let answer;
  try { answer = await api("GET", "/api/session"); } catch { again = setTimeout(begin, 2000); return; }
  $("login-hint").hidden = !answer.data?.setup_needed;
  if (answer.data?.user) open(answer.data); else if (answer.ok) end(); else again = setTimeout(begin, 2000);
}

function open(who) {
  const same = before === who.user;
  before = who.user;
  state.session = who;
  $("login").hidden = true; $("app").hidden = false;
  text($("who"), who.user);
  for (const p of ["write", "admin"]) $("app").toggleAttribute(`data-${p}`, who.permissions.includes(p));
  // Whoever logs in sees nothing of what another one has left.
  if (!same) {
    history.clear(); forget(); forgetLogs(); forgetNotifications();
    for (const table of [$("audit"), $("logs")]) table.tBodies[0].replaceChildren();
    $("command-result").replaceChildren(); $("command-form").reset();
  }
  connect();
  clearInterval(renewTimer); renewTimer = setInterval(renew, 60000);
  auditing();
}

// A page that is looked at stays logged in for as long as its session may last.
async function renew() {
  if (!state.session?.expires_at || state.session.expires_at * 1000 - Date.now() > 600000) return;
  const r = await api("POST", "/api/token/refresh").catch(() => null);
  if (!r?.ok || !state.session) return;
  if (r.data.expires_at <= state.session.expires_at) clearInterval(renewTimer);
  state.session.expires_at = r.data.expires_at;
}

function end() {
  state.session = null; state.status = null; fresh = null;
  clearInterval(renewTimer); clearInterval(staleTimer); clearTimeout(again);
  source?.close(); source = null;
  stopAuditing();
  if ($("confirm").open) $("confirm").close();
  $("notice").hidden = true;
  $("app").hidden = true; $("login").hidden = false;
  document.title = "Daur – log in";
  $("user").focus();
}
whenLoggedOut(end);

function connect() {
  source?.close(); clearTimeout(again);
  const mine = source = new EventSource("/api/events");
  opened = performance.now();
  const read = (e) => { try { return JSON.parse(e.data); } catch { return null; } };
  mine.addEventListener("history", (e) => { history.seed(read(e)); history.asked = 0; if (mine === source) loadNotifications(); });
  mine.addEventListener("notification", (e) => { if (mine === source) notified(read(e)); });
  mine.addEventListener("status", (e) => { const st = read(e); if (st && mine === source) arrived(st); });
  mine.addEventListener("end", () => { mine.close(); again = setTimeout(begin, 1500); });
  mine.onerror = () => { if (mine === source && mine.readyState === EventSource.CLOSED) again = setTimeout(() => { if (state.session) begin(); }, 2000); };
  clearInterval(staleTimer);
  staleTimer = setInterval(freshness, 500);
}

// ---- how old the numbers are

// By the steady clock of this page, and the server's own: the two are compared by the quickest message so far, so that
// statuses that come late, or say the same moment again, are as old as they are.
let fresh = null;
function arrived(st) {
  const at = performance.now(), now = Number(st.now_ms);
  if (!fresh || now < fresh.now) fresh = { now, apart: at - now };
  fresh.now = now;
  fresh.apart = Math.min(fresh.apart, at - now);
  state.status = st;
  history.push(point(st));
  freshness();
  draw();
}

// Of statuses that come faster than they can be drawn, the last is drawn; while nobody looks, none.
let drawing = 0;
function draw() {
  if (drawing === 0) drawing = requestAnimationFrame(() => { drawing = 0; show(); });
}

function freshness() {
  const age = fresh ? performance.now() - fresh.apart - fresh.now : performance.now() - opened;
  const stale = age > STALE_MS;
  if (!fresh && !stale) return;
  $("live").dataset.state = stale ? "stale" : "live";
  text($("live-text"), stale ? (fresh ? `Stale: last update ${span(Math.round(age / 1000) * 1000)} ago` : "No numbers yet") : "Live");
  $("app").classList.toggle("stale", stale && fresh !== null);
  if (stale !== state.stale) {
    state.stale = stale;
    announce(stale ? "The numbers are stale: no update comes in." : "The numbers are live again.");
    if (stale) document.title = "Stale – Daur"; else if (state.status) verdict(state.status);
  }
}

// ---- the page

const PANELS = { verdict, overview, charts, breakers, operations, health, errors, system, memory, cache, work, pool, batches, jobs, analytics, models, security, devices, logs };
function show() {
  const st = state.status, broken = [];
  if (!st || !state.session) return;
  if (history.due()) history.load(tracked(st)).then(() => { if (state.status) charts(state.status); });
  // What one panel cannot read is told, and costs the others nothing.
  for (const [name, panel] of Object.entries(PANELS)) try { panel(st); } catch (error) { broken.push(name); console.warn(`${name}: ${error}`); }
  text($("broken"), broken.length ? ` · not shown, since it was not understood: ${broken.join(", ")}` : "");
}
document.addEventListener("visibilitychange", () => { if (!document.hidden && state.session) freshness(); });
ranges(() => { if (state.status) { charts(state.status); show(); } });

// ---- logging in and out, and how it looks

$("login-form").addEventListener("submit", async (e) => {
  e.preventDefault();
  const form = e.target, button = form.querySelector("button"), error = $("login-error");
  button.disabled = true; error.hidden = true;
  try {
    const r = await api("POST", "/api/login", { user: form.user.value, password: form.password.value });
    if (r.ok) { const user = form.user.value; form.reset(); open({ user, permissions: r.data.permissions, expires_at: r.data.expires_at }); $("main").focus(); } else {
      text(error, refusal(r));
      error.hidden = false; form.password.select();
    }
  } catch { text(error, "The server does not answer."); error.hidden = false; }
  button.disabled = false;
});
$("logout").addEventListener("click", async () => { source?.close(); await api("POST", "/api/logout").catch(() => {}); end(); });

const THEMES = ["system", "light", "dark"];
function theme(name) {
  if (name === "system") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = name;
  text($("theme-name"), name); $("theme").setAttribute("aria-label", `Theme: ${name}`);
}
let looks = "system";
try { looks = localStorage.getItem("daur.theme") ?? "system"; } catch { /* a browser that keeps nothing */ }
if (!THEMES.includes(looks)) looks = "system";
theme(looks);
$("theme").addEventListener("click", () => {
  looks = THEMES[(THEMES.indexOf(looks) + 1) % THEMES.length];
  try { localStorage.setItem("daur.theme", looks); } catch { /* as above */ }
  theme(looks);
});

begin();
