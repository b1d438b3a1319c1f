// The board people label on. Every key acts here at once; only what is saved goes to the server, in an outbox that is sent
// again until the server has said what became of it, so that neither fast typing nor a killed app loses a key.
const LETTERS = [..."qwetyiopadghjklcvbn"]; // keyboard order, without those that are commands
const KEYS = [..."1234567890", ...LETTERS, ...LETTERS.map((key) => "⇧" + key)];
const RETRY_MS = 3000;
const LOST_MS = 4000;
const ASK_MS = 5000; // between asking again where there is nothing to do: rows that others held, and how far they are

export default function ({ data, parentElement, setStateValue }) {
  const app = (parentElement.maeumDesk ??= new Desk(parentElement));
  app.take(data, setStateValue);
}

class Desk extends Drawing {
  constructor(place) {
    super();
    this.root = el("div", "desk");
    place.append(this.root);
    this.outbox = [];
    this.trail = []; // rows that were answered, the latest at the end
    this.at = null; // place in the trail; null: at the row to come
    this.fresh = null; // the row to come
    this.refused = [];
    this.undone = []; // what can be undone: {row, before}
    this.times = [];
    this.sent = 0;
    this.hint = "";
    this.filter = null;
    this.guide = null; // whether the guide is open; null: as the window is wide
    this.listen = (event) => this.root.isConnected ? this.key(event) : this.leave();
    this.timer = setInterval(() => this.root.isConnected ? this.retry() : this.leave(), 1000);
    document.addEventListener("keydown", this.listen, true);
    this.warn = (event) => { if (this.outbox.length) event.preventDefault(); };
    window.addEventListener("beforeunload", this.warn);
  }

  leave() {
    clearInterval(this.timer);
    document.removeEventListener("keydown", this.listen, true);
    window.removeEventListener("beforeunload", this.warn);
  }

  // -- from and to the server -------------------------------------------------------------------------------

  take(data, send) {
    this.send = send;
    const whose = data.mark + "/" + data.name;
    if (whose !== this.whose) {
      this.whose = whose;
      this.store = "maeum-desk/" + whose;
      this.outbox = JSON.parse(sessionStorage.getItem(this.store) ?? "[]").map((item) => ({ ...item, began: performance.now() }));
      Object.assign(this, { trail: [...data.recent], at: null, fresh: null, refused: [], undone: [], times: [], filter: null });
      if (document.activeElement?.closest?.("button")) document.activeElement.blur();
    }
    this.data = data;
    this.labels = data.labels.map((label, n) => ({ ...label, shortcut: KEYS[n] ?? "" }));
    for (const result of data.results) this.settle(result);
    this.keep();
    this.remember(data.recent);
    const waiting = new Set(this.outbox.map((item) => item.at));
    this.queue = data.queue.filter((row) => !waiting.has(row.at) && row.at !== this.fresh?.at);
    if (!this.fresh) this.fresh = this.next();
    this.heard = data.answered >= this.sent;
    if (this.outbox.length && this.heard) this.post();
    if (this.typing()) this.drawState(); // a box that is being written in stays
    else this.draw();
  }

  typing() {
    const active = this.root.getRootNode().activeElement;
    return Boolean(active) && (active === this.filterBox || active === this.noteBox);
  }

  settle(result) {
    const item = this.outbox.find((each) => each.token === result.token);
    if (!item) return;
    this.outbox = this.outbox.filter((each) => each !== item);
    this.last = Math.round(performance.now() - item.began);
    const row = this.row(item.at);
    if (result.error) this.hint = result.error;
    else if (!result.kept) {
      const shown = result.row;
      this.refused.push({ ...result, item, text: shown.before + shown.target + shown.after });
      if (row) Object.assign(row, { own: shown.own, draft: null });
      else this.trail.push(shown);
      this.undone = this.undone.filter((step) => step.row.at !== item.at);
    }
  }

  row(at) {
    return this.fresh?.at === at ? this.fresh : this.trail.find((row) => row.at === at);
  }

  remember(recent) { // what the server knows of answered rows; nothing changes under the eyes of who looks at it
    const waiting = new Set(this.outbox.map((item) => item.at));
    for (const row of recent) {
      const known = this.trail.find((each) => each.at === row.at);
      if (known) {
        known.others = row.others;
        if (!waiting.has(row.at) && known !== this.shown()) known.own = row.own;
      } else if (this.fresh?.at !== row.at && !waiting.has(row.at)) { // answered in another window
        this.trail.unshift(row);
        if (this.at !== null) this.at += 1;
      }
    }
  }

  next() {
    return this.queue.shift() ?? null;
  }

  post() { // one at a time: a script that is still running would be stopped by the next, and its answer lost
    this.sent += 1;
    this.heard = false;
    this.posted = performance.now();
    this.send("outbox", { turn: this.sent, items: this.outbox.map(({ began, ...item }) => item) });
  }

  retry() {
    const waits = this.outbox.length ? RETRY_MS : this.fresh ? Infinity : ASK_MS;
    if (performance.now() - (this.posted ?? 0) > waits) this.post();
    this.drawState();
  }

  keep() {
    if (this.outbox.length) sessionStorage.setItem(this.store, JSON.stringify(this.outbox));
    else sessionStorage.removeItem(this.store);
  }

  // -- what is on the screen --------------------------------------------------------------------------------

  shown() {
    return this.at === null ? this.fresh : this.trail[this.at];
  }

  draft(row) { // chosen: key → grade (aspects) or true; armed: the aspect that waits for its grade
    if (!row.draft) {
      const said = row.own?.answer;
      const pairs = said ? (said.aspects ?? []).map((a) => [a.aspect, a.sentiment]).concat((said.labels ?? []).map((key) => [key, true])) : [];
      row.draft = { chosen: new Map(pairs), none: Boolean(said) && !pairs.length, note: row.own?.note ?? "", armed: null, touched: null };
    }
    return row.draft;
  }

  answer(draft) {
    const picked = this.labels.filter((label) => draft.chosen.get(label.key));
    if (this.data.kind === "aspect") return { aspects: picked.map((l) => ({ aspect: l.key, sentiment: draft.chosen.get(l.key) })) };
    return { labels: picked.map((label) => label.key) };
  }

  // -- what keys do -----------------------------------------------------------------------------------------

  key(event) {
    const from = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (from === this.filterBox || from === this.noteBox) return this.typed(event, from);
    if (from.closest?.('input,textarea,select,[contenteditable],[role="combobox"],[role="listbox"],[role="dialog"]')) return;
    const own = this.root.contains(from);
    const other = !own && from.closest?.("button,a,summary,[role=button],[role=radio]");
    if (other && (event.key === "Enter" || event.key === " ")) return;
    const latin = /^[a-zA-Z0-9]$/.test(event.key) ? event.key.toLowerCase() : /^(Key|Digit|Numpad)(\w)$/.exec(event.code)?.[2].toLowerCase();
    const done = this.act(latin && !(event.shiftKey && /\d/.test(latin)) ? (event.shiftKey ? "⇧" + latin : latin) : event.key, event.repeat);
    // letters never reach Streamlit, where R and C mean something else
    if (done && other) other.blur(); // who labels on has done with it: Enter is the board's again
    if (done || latin) { event.preventDefault(); event.stopImmediatePropagation(); }
  }

  typed(event, from) {
    event.stopPropagation();
    if (event.isComposing || event.keyCode === 229) return; // a syllable that is not finished
    if (event.key === "Escape" || (event.key === "Enter" && from === this.noteBox)) {
      event.preventDefault();
      from.blur();
      if (from === this.filterBox) { this.filter = null; this.draw(); }
    } else if (event.key === "Enter") {
      event.preventDefault();
      const first = this.matching()[0];
      if (first) { this.filter = null; from.blur(); this.toggle(first.key); }
    }
  }

  act(key, repeat) {
    const row = this.shown();
    if (key === "r" && this.refused.length) return this.lookAgain();
    if (key === "x" && this.refused.length) { this.refused.shift(); this.draw(); return true; }
    if (key === "z") return !repeat && this.undo();
    if (key === "?") { this.guide = !this.guideOpen(); this.draw(); return true; }
    if (!row) {
      if (key === "Backspace" || key === "ArrowLeft") return this.back();
      return false;
    }
    const draft = this.draft(row);
    if (draft.armed && this.grade(draft, key)) return true;
    switch (key) {
      case "Enter": if (!repeat) this.save(); return true;
      case "Backspace": case "ArrowLeft": return this.back();
      case "ArrowRight": return this.forward();
      case "s": if (!repeat) this.skip(); return true;
      case "u": Object.assign(draft, { chosen: new Map(), none: !draft.none, armed: null }); this.hint = ""; this.draw(); return true;
      case "f": return this.fill(row, draft);
      case "m": this.noteOpen = true; this.draw(); this.noteBox.focus(); return true;
      case "/": this.filter = ""; this.draw(); this.filterBox.focus(); return true;
      case "Escape": draft.armed = null; this.draw(); return true;
    }
    const label = !repeat && this.labels.find((each) => each.shortcut && each.shortcut === key);
    if (!label) return false;
    this.toggle(label.key);
    return true;
  }

  grade(draft, key) {
    if (key === "0" || key === "Delete" || key === "Backspace") {
      draft.chosen.delete(draft.armed);
    } else if (/^[1-9]$/.test(key) && this.data.grades[key - 1]) {
      draft.chosen.set(draft.armed, this.data.grades[key - 1].key);
    } else return false;
    draft.armed = null;
    this.draw();
    return true;
  }

  toggle(key) {
    const row = this.shown();
    if (!row) return;
    const draft = this.draft(row);
    const on = draft.chosen.has(key);
    if (this.data.kind === "aspect") draft.armed = draft.armed === key ? null : key;
    else if (on) draft.chosen.delete(key);
    else {
      if (this.data.kind === "multiclass") draft.chosen.clear();
      draft.chosen.set(key, true);
    }
    Object.assign(draft, { none: false, touched: key });
    this.hint = "";
    this.draw();
  }

  fill(row, draft) {
    const said = row.suggested;
    if (!said) { this.hint = this.data.words.nothing_suggested; this.draw(); return true; }
    const pairs = (said.aspects ?? []).map((a) => [a.aspect, a.sentiment]).concat((said.labels ?? []).map((key) => [key, true]));
    Object.assign(draft, { chosen: new Map(pairs), none: !pairs.length, armed: null });
    this.draw();
    return true;
  }

  save() {
    const row = this.shown();
    const draft = this.draft(row);
    if (draft.armed && !draft.chosen.get(draft.armed)) { this.hint = this.data.words.grade_first; this.draw(); return; }
    const answer = this.answer(draft);
    if (!draft.none && !(answer.labels ?? answer.aspects).length) { this.hint = this.data.words.empty; this.draw(); return; }
    const same = row.own?.answer && JSON.stringify([row.own.answer, row.own.note]) === JSON.stringify([answer, draft.note.trim()]);
    if (!same) {
      this.undone.push({ row, before: row.own });
      this.put(row, "save", answer, draft.note.trim());
      this.times.push(performance.now());
    }
    this.go(row);
  }

  put(row, kind, answer, note) { // on the screen it is done; the outbox has it until the server says so
    const token = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    this.outbox.push({ token, kind, at: row.at, answer, note, seen: row.own?.token ?? "", began: performance.now() });
    if (kind === "save") row.own = { token, answer, note };
    row.draft = null;
    row.session = true;
    this.hint = "";
    this.keep();
    if (this.heard) this.post();
  }

  go(row) { // on: through the trail to the row to come
    this.noteOpen = false;
    this.hint = "";
    if (this.at === null) {
      this.trail.push(row);
      this.fresh = this.next();
    } else {
      row.draft = null;
      this.at = this.at + 1 < this.trail.length ? this.at + 1 : null;
    }
    this.draw();
    this.root.scrollIntoView?.({ block: "nearest" });
  }

  skip() {
    const row = this.shown();
    if (this.at !== null) return this.forward();
    this.put(row, "skip", null, "");
    this.fresh = this.next();
    this.draw();
  }

  back() {
    const to = (this.at ?? this.trail.length) - 1;
    if (to < 0) { this.hint = this.data.words.first; this.draw(); return true; }
    if (this.at !== null) this.trail[this.at].draft = null;
    this.at = to;
    this.hint = "";
    this.noteOpen = false;
    this.draw();
    return true;
  }

  forward() {
    if (this.at === null) return true;
    this.go(this.trail[this.at]);
    return true;
  }

  undo() {
    const step = this.undone.pop();
    if (!step) { this.hint = this.data.words.nothing_done; this.draw(); return true; }
    const { row, before } = step;
    const draft = this.draft(row);
    this.put(row, "save", before?.answer ?? null, before?.note ?? "");
    this.times.pop();
    if (before?.answer) this.at = this.trail.indexOf(row);
    else { // as if it had not been answered: it is the row to come again, with what was chosen
      this.trail = this.trail.filter((each) => each !== row);
      if (this.fresh) this.queue.unshift(this.fresh);
      Object.assign(this, { fresh: row, at: null });
    }
    row.draft = draft;
    this.hint = this.data.words.undone;
    this.draw();
    return true;
  }

  lookAgain() {
    const { item } = this.refused.shift();
    const row = this.trail.find((each) => each.at === item.at);
    if (row) { this.at = this.trail.indexOf(row); row.draft = null; }
    this.draw();
    return true;
  }
}
