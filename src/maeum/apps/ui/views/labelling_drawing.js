// How the board looks: what it draws of the state that labelling_board.js keeps. Both files are one module.
function el(tag, names, ...inside) {
  const made = document.createElement(tag);
  if (names) made.className = names;
  made.append(...inside.filter((part) => part || part === 0));
  return made;
}

function filled(words, values) {
  return words.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

function initials(text) { // 슬픔 → ㅅㅍ
  return [...text].map((c) => {
    const at = c.charCodeAt(0) - 0xac00;
    return at >= 0 && at < 11172 ? "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"[Math.floor(at / 588)] : c;
  }).join("");
}

class Drawing {
  draw() {
    const row = this.shown();
    const guide = this.drawGuide();
    const main = el("div", "main", this.drawTop(), this.drawRefused(), row ? this.drawRow(row) : this.drawEnd(), this.drawTrail());
    this.root.replaceChildren(main, ...(guide ? [guide] : []));
    this.root.classList.toggle("guided", Boolean(guide) && this.guideOpen());
    this.drawState();
  }

  drawTop() {
    const { words, progress } = this.data;
    const pending = new Set(this.outbox.filter((item) => item.kind === "save" && item.answer && !item.seen).map((item) => item.at)).size;
    const done = progress.done + pending;
    const left = Math.max(0, progress.left - pending);
    const bar = el("div", "bar", el("i"));
    bar.firstChild.style.width = (100 * (progress.total - left)) / Math.max(1, progress.total) + "%";
    const recent = this.times.slice(-20);
    const speed = recent.length > 2 ? ((recent.length - 1) * 60000) / (recent.at(-1) - recent[0]) : null;
    this.state = el("span", "state");
    const top = el("div", "top",
      el("b", "", String(done)), el("span", "", filled(words.of, { total: progress.total })),
      el("span", "", filled(words.left, { left })),
      speed && el("span", "", filled(words.speed, { speed: speed < 10 ? speed.toFixed(1) : Math.round(speed) })),
      el("span", "gap"), this.state);
    return el("header", "", top, bar);
  }

  drawState() {
    if (!this.state) return;
    const { words } = this.data;
    const waiting = this.outbox.length;
    const lost = waiting && performance.now() - this.outbox[0].began > LOST_MS;
    this.state.className = "state " + (lost ? "lost" : waiting ? "busy" : "kept");
    this.state.textContent = lost ? filled(words.lost, { waiting }) : waiting ? filled(words.saving, { waiting }) : words.kept;
    Object.assign(this.root.dataset, { waiting, saved: this.data.progress.done, last: this.last ?? "" });
  }

  drawRefused() {
    const one = this.refused[0];
    if (!one) return null;
    const { words } = this.data;
    const text = one.text.length > 60 ? one.text.slice(0, 60) + "…" : one.text;
    return el("div", "refused",
      el("b", "", words.refused), el("q", "", text),
      el("div", "", words.stands + " ", ...this.said(one.row.own?.answer), " · " + words.yours + " ", ...this.said(one.item.answer)),
      el("div", "acts", this.button("R", words.look, () => this.act("r")), this.button("X", words.close, () => this.act("x"))));
  }

  said(answer) {
    if (!answer) return [el("em", "", this.data.words.none_yet)];
    const pairs = answer.aspects ? answer.aspects.map((a) => [a.aspect, a.sentiment]) : answer.labels.map((key) => [key, null]);
    if (!pairs.length) return [el("em", "", this.data.words.none)];
    return pairs.map(([key, grade]) => {
      const label = this.labels.find((each) => each.key === key);
      const found = grade && this.data.grades.find((each) => each.key === grade);
      const chip = el("span", "tag", label?.name ?? key, found ? el("em", "", found.name) : null);
      chip.style.setProperty("--c", label?.colour ?? "");
      return chip;
    });
  }

  drawRow(row) {
    const { words } = this.data;
    const draft = this.draft(row);
    const text = el("p", "text" + (row.before.length + row.after.length > 260 ? " long" : ""), row.before, row.target && el("u", "", row.target), row.after);
    const facts = el("div", "facts", el("code", "", row.id), row.why && el("span", "", row.why),
      this.at !== null && el("span", "again", words.again));
    const chips = el("div", "chips" + (this.labels.length > 16 ? " many" : "") + (draft.armed ? " waiting" : ""));
    for (const label of this.labels) chips.append(this.drawLabel(label, draft, row));
    const touched = this.labels.find((label) => label.key === (draft.armed ?? draft.touched));
    const note = this.noteOpen || draft.note ? this.drawNote(draft) : null;
    return el("section", "", el("div", "sheet", facts, text),
      this.filter === null ? null : this.drawFilter(), chips,
      draft.armed ? this.drawGrades(touched) : null,
      touched?.note ? el("p", "told", el("b", "", touched.name), " ", touched.note) : null,
      note, el("p", "hint" + (this.hint ? " on" : ""), this.hint || " "), this.drawActs(row, draft));
  }

  drawLabel(label, draft, row) {
    const grade = draft.chosen.get(label.key);
    const on = Boolean(grade);
    const armed = draft.armed === label.key;
    const found = this.data.grades.find((each) => each.key === grade);
    const chip = el("button", "chip" + (on ? " on" : "") + (armed ? " armed" : ""), el("kbd", "", label.shortcut), el("span", "", label.name));
    if (found) chip.append(this.graded(found));
    const said = row.suggested?.labels?.includes(label.key) || row.suggested?.aspects?.find((a) => a.aspect === label.key);
    if (said) {
      const named = said.sentiment && this.data.grades.find((each) => each.key === said.sentiment)?.name;
      chip.classList.add("said");
      chip.append(el("i", "", named ? `${this.data.words.model} ${named}` : this.data.words.model));
    }
    if (this.filter && !this.matches(label)) chip.classList.add("away");
    chip.type = "button";
    chip.title = label.note;
    chip.style.setProperty("--c", label.colour);
    chip.setAttribute("aria-pressed", String(on));
    this.press(chip, () => this.toggle(label.key));
    return chip;
  }

  drawGrades(label) {
    return el("div", "grades", el("b", "", label.name), ...this.data.grades.map((each, n) => {
      const pick = this.button(String(n + 1), each.name, () => this.act(String(n + 1)));
      pick.style.setProperty("--c", each.colour);
      pick.title = each.note;
      return pick;
    }), this.button("0", this.data.words.remove, () => this.act("0")));
  }

  graded(found) {
    const shown = el("em", "", found.name);
    shown.style.setProperty("--c", found.colour);
    return shown;
  }

  matches(label) {
    const word = this.filter.trim().toLowerCase();
    const names = [label.name, label.key, label.other].map((name) => name.toLowerCase());
    return names.some((name) => name.includes(word) || initials(name).includes(word));
  }

  matching() {
    return this.filter === null ? [] : this.labels.filter((label) => this.matches(label));
  }

  drawFilter() {
    const box = el("input");
    box.value = this.filter;
    box.placeholder = this.data.words.filter;
    box.setAttribute("aria-label", this.data.words.filter);
    const found = el("span", "found");
    const list = () => found.replaceChildren(...this.matching().slice(0, 9).map((label, n) => el("span", "", el("kbd", "", n ? String(n + 1) : "⏎ 1"), label.name)));
    box.oninput = () => {
      const digit = /[1-9]/.exec(box.value)?.[0];
      this.filter = box.value.replace(/\d/g, "");
      const picked = digit && this.matching()[digit - 1];
      if (picked) { this.filter = null; box.blur(); return this.toggle(picked.key); }
      list();
      const chips = this.root.querySelectorAll(".chip");
      this.labels.forEach((label, n) => chips[n]?.classList.toggle("away", Boolean(this.filter) && !this.matches(label)));
    };
    list();
    this.filterBox = box;
    return el("div", "filter", box, found);
  }

  drawNote(draft) {
    const box = el("input");
    box.value = draft.note;
    box.maxLength = 500;
    box.placeholder = this.data.words.note;
    box.setAttribute("aria-label", this.data.words.note);
    box.oninput = () => { draft.note = box.value; };
    this.noteBox = box;
    return el("div", "filter", box);
  }

  drawActs(row, draft) {
    const { words } = this.data;
    const none = this.button("U", words.none, () => this.act("u"));
    none.classList.toggle("on", draft.none);
    none.setAttribute("aria-pressed", String(draft.none));
    const save = this.button("⏎", words.save, () => this.act("Enter"));
    save.classList.add("save");
    return el("div", "acts", save, none, this.button("S", words.skip, () => this.act("s")),
      this.button("←", words.back, () => this.act("Backspace")), this.button("Z", words.undo, () => this.act("z")),
      row.suggested && this.button("F", words.fill, () => this.act("f")), this.button("M", words.note_key, () => this.act("m")),
      this.labels.length > 9 && this.button("/", words.find, () => this.act("/")),
      this.labels.some((label) => label.note) && this.button("?", words.guide, () => this.act("?")));
  }

  drawEnd() {
    const { words, progress } = this.data;
    const left = this.outbox.length || progress.left > 0;
    const title = !left ? words.finished : this.outbox.length ? words.waiting : words.held;
    return el("div", "end", el("b", "", title), left ? null : words.finished_more);
  }

  drawTrail() {
    const { words, progress } = this.data;
    const rows = this.trail.slice(-5).reverse();
    const parts = rows.map((row) => {
      const text = row.before + row.target + row.after;
      const line = el("button", "was" + (this.shown() === row ? " here" : ""), el("span", "said", ...this.said(row.own?.answer)),
        el("span", "words", text), ...(row.others ?? []).map((other) => this.drawOther(row, other)));
      line.type = "button";
      this.press(line, () => { this.at = this.trail.indexOf(row); row.draft = null; this.draw(); });
      return line;
    });
    const people = Object.entries(progress.others).map(([who, count]) => {
      const [both, alike] = progress.shared[who] ?? [0, 0];
      return filled(both ? words.both : words.alone, { who, count, both, share: Math.round((100 * alike) / Math.max(1, both)) });
    });
    return el("footer", "", rows.length ? el("h4", "", words.lately) : null, ...parts, people.length ? el("p", "people", people.join(" · ")) : null);
  }

  drawOther(row, other) {
    const same = JSON.stringify(other.answer) === JSON.stringify(row.own?.answer);
    return el("span", "other" + (same ? "" : " apart"), other.who, " ", ...(same ? [this.data.words.same] : this.said(other.answer)));
  }

  guideOpen() {
    return this.guide ?? this.root.clientWidth > 860;
  }

  drawGuide() {
    if (!this.labels.some((label) => label.note)) return null;
    const open = this.guideOpen();
    const list = this.labels.map((label) => {
      const line = el("div", "", el("b", "", label.name), label.note && el("p", "", label.note));
      line.style.setProperty("--c", label.colour);
      return line;
    });
    return el("aside", open ? "" : "shut", this.button("?", this.data.words.guide, () => this.act("?")), ...(open ? list : []));
  }

  button(key, words, act) {
    const made = el("button", "act", el("kbd", "", key), el("span", "", words));
    made.type = "button";
    this.press(made, act);
    return made;
  }

  press(button, act) { // without taking the focus: the next key is the board's
    button.addEventListener("pointerdown", (event) => event.preventDefault());
    button.addEventListener("click", act);
  }
}
