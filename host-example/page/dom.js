// What every part of the page is built with. No markup is made from data: every text goes through
// textContent, so that a device's message is never more than a message.

export const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

// What the page knows: who looks at it, and the latest status.
export const state = { session: null, status: null, stale: false };
export const may = (permission) => Boolean(state.session?.permissions.includes(permission));

export function h(tag, props, ...children) {
  const el = document.createElement(tag);
  for (const [key, value] of Object.entries(props || {})) {
    if (value === undefined || value === null) continue;
    if (key === "class") el.className = value;
    else if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
    else el.setAttribute(key, value);
  }
  el.append(...children.filter((c) => c !== undefined && c !== null));
  return el;
}
export function s(tag, props, ...children) {
  const el = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(props || {})) el.setAttribute(key, value);
  el.append(...children);
  return el;
}
export const icon = (name) => s("svg", { class: "icon", "aria-hidden": "true" }, s("use", { href: `#i-${name}` }));

export function text(el, value) {
  const wanted = String(value ?? ""), only = el.firstChild;
  // The node of the text is kept: a page of a thousand numbers makes none anew.
  if (only?.nodeType === Node.TEXT_NODE && !only.nextSibling) { if (only.data !== wanted) only.data = wanted; } else if (only || wanted) el.textContent = wanted;
}
export function attr(el, name, value) {
  if (value == null) { if (el.hasAttribute(name)) el.removeAttribute(name); } else if (el.getAttribute(name) !== String(value)) el.setAttribute(name, value);
}
// A table's own entries only: a state of the name `constructor` is no state.
export const pick = (table, key, otherwise) => (Object.hasOwn(table, key) ? table[key] : otherwise);
export const words = (name) => String(name ?? "").replaceAll("_", " ");
const list = (items) => (Array.isArray(items) ? items : []);

const KEY = Symbol("key");
// Reuses the elements of what stays, so that focus, scrolling and selections survive an update.
export function keyed(parent, items, key, make, update) {
  const old = new Map();
  for (const el of [...parent.children]) { if (el[KEY] === undefined) el.remove(); else old.set(el[KEY], el); }
  // Two devices may say the same name: the second has a key of its own, or its element would never go.
  const times = new Map();
  const wanted = list(items).map((item) => {
    const own = String(key(item)), before = times.get(own) || 0;
    times.set(own, before + 1);
    return [`${before}\u0000${own}`, item];
  });
  // What goes, goes first: so that nothing that stays has to move, which would cost it the focus.
  const stays = new Set(wanted.map(([k]) => k));
  for (const [k, el] of old) if (!stays.has(k)) { rescue(el, parent); el.remove(); old.delete(k); }
  let at = parent.firstElementChild;
  for (const [k, item] of wanted) {
    let el = old.get(k);
    if (!el) { el = make(item); el[KEY] = k; }
    update(el, item);
    if (el === at) at = at.nextElementSibling;
    else if (el.isConnected && parent.moveBefore) parent.moveBefore(el, at);
    else parent.insertBefore(el, at);
  }
}
// The focus of what goes away goes to the heading above it, not to the top of the page.
function rescue(el, parent) {
  if (!el.contains(document.activeElement)) return;
  const heading = parent.closest("section, article, .tile")?.querySelector("h2, h3");
  if (heading) { heading.tabIndex = -1; heading.focus({ preventScroll: true }); }
}

// As `keyed`, for rows of text: `cells(item)` gives a row's texts, each as text or [text, class].
export function rows(body, items, key, cells, more) {
  keyed(body, items, key, () => h("tr"), (tr, item) => {
    const all = cells(item);
    while (tr.children.length < all.length) tr.append(tr.children.length ? h("td") : h("th", { scope: "row" }));
    all.forEach((cell, i) => {
      const [value, cls] = Array.isArray(cell) ? cell : [cell, ""];
      text(tr.children[i], value);
      if (tr.children[i].className !== (cls || "")) tr.children[i].className = cls || "";
    });
    more?.(tr, item);
  });
}

// What is shown of a list that may be longer than anybody reads; the rest is told as a number.
export function some(items, most, note) {
  const all = list(items);
  if (note) { note.hidden = all.length <= most; text(note, all.length > most ? `and ${count(all.length - most)} more` : ""); }
  return all.slice(0, most);
}

export function facts(dl, entries) {
  keyed(dl, entries, (e) => e[0], (e) => h("div", {}, h("dt", {}, e[0]), h("dd")), (el, e) => {
    const dd = el.children[1];
    text(dd, e[1]); dd.className = e[2] || ""; attr(dd, "title", e[1]);
  });
}
export function meter(bar, part, level, label) {
  if (!bar.firstChild) bar.append(h("i"));
  const width = `${Math.min(1, Math.max(0, part || 0)) * 100}%`;
  if (bar.firstChild.style.width !== width) bar.firstChild.style.width = width;
  bar.dataset.level = level;
  attr(bar, "aria-label", label);
}
export function badge(el, level, words) { if (el.dataset.level !== level) el.dataset.level = level; text(el, words); }
export const empty = (parent, words) => keyed(parent, [words], (w) => w, (w) => (parent.tagName === "TBODY" ? h("tr", {}, h("td", { class: "empty", colspan: "99" }, w)) : h("li", { class: "empty" }, w)), () => {});

// ---- numbers as people read them

const group = new Intl.NumberFormat("en");
const known = (n) => typeof n === "number" && Number.isFinite(n);
export const count = (n) => (known(n) ? (Math.abs(n) < 1e15 ? group.format(n) : n.toExponential(2)) : "–");
export const trim = (x) => (x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2));
export function micros(us) {
  if (!known(us)) return "–";
  if (us < 1000) return `${Math.round(us)} µs`;
  if (us < 1e6) return `${trim(us / 1e3)} ms`;
  return us < 120e6 ? `${trim(us / 1e6)} s` : span(us / 1e3);
}
export function bytes(n) {
  if (!known(n)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let u = 0;
  while (Math.abs(n) >= 1024 && u < units.length - 1) { n /= 1024; u += 1; }
  return `${u === 0 ? Math.round(n) : trim(n)} ${units[u]}`;
}
export function span(ms) {
  if (!known(ms)) return "–";
  const sec = Math.max(0, ms / 1000);
  if (sec < 10) return `${sec.toFixed(1)} s`;
  if (sec < 90) return `${Math.round(sec)} s`;
  if (sec < 5400) return `${Math.round(sec / 60)} min`;
  if (sec < 129600) return `${(sec / 3600).toFixed(1)} h`;
  return `${(sec / 86400).toFixed(1)} d`;
}
export const percent = (permille) => (known(permille) ? `${(permille / 10).toFixed(permille >= 995 || permille === 0 ? 0 : 1)} %` : "–");
export const rate = (n) => (known(n) ? `${n ? trim(n) : "0"}/s` : "–");
export const perSecond = (n) => (known(n) ? `${bytes(n)}/s` : "–");
const date = (ms) => { const d = new Date(ms); return known(ms) && !Number.isNaN(d.getTime()) ? d : null; };
export const clock = (ms) => date(ms)?.toLocaleTimeString("en-GB") ?? "–";
export const day = (ms) => date(ms)?.toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short" }) ?? "–";
// The day is told where it is not today.
export function moment(ms) {
  const d = date(ms);
  if (!d) return "–";
  return Math.abs(Date.now() - ms) < 43200000 && d.getDate() === new Date().getDate() ? clock(ms) : `${day(ms)} ${clock(ms)}`;
}

// ---- the server

let lost = () => {};
export const whenLoggedOut = (f) => { lost = f; };
export async function api(method, path, body) {
  const response = await fetch(path, {
    method, credentials: "same-origin",
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const data = response.headers.get("content-type")?.includes("json") ? await response.json().catch(() => null) : null;
  if (response.status === 401 && state.session && path !== "/api/login") lost();
  return { ok: response.ok, status: response.status, data, retryAfter: response.headers.get("retry-after") };
}
// What a refusal says, in words.
export function refusal(r) {
  const later = r.retryAfter ? ` Try again in ${span(r.retryAfter * 1000)}.` : "";
  return `${r.data?.detail || "The server refused."}${later} (${r.data?.code || r.status})`;
}

// ---- what is said to those who listen, and shown to those who look

export function announce(words) { text($("announce"), ""); setTimeout(() => text($("announce"), words), 50); }
let noticeTimer = null;
export function notice(words, level = "green") {
  const box = $("notice");
  box.dataset.level = level;
  text($("notice-text"), words);
  box.hidden = false;
  announce(words);
  clearTimeout(noticeTimer);
  // What went well may go by itself; what did not stays until it was read.
  if (level === "green") noticeTimer = setTimeout(() => { if (!box.contains(document.activeElement)) box.hidden = true; }, 6000);
}
