/**
 * From text to server-sent events, however the text is cut (WHATWG HTML, 9.2.6). No I/O.
 */

/**
 * @typedef {object} ServerEvent
 * @property {string} event The type; `message` unless told.
 * @property {string} data The lines of data, joined.
 * @property {string} id The last id that was seen, this event's or an earlier one's.
 */

/**
 * Begin a stream.
 *
 * @returns {(text: string) => ServerEvent[]} Takes what came, and gives the events it completes.
 */
export function decode() {
  let rest = "";
  let id = "";
  let event = "";
  let data = [];
  let first = true;

  function line(text) {
    if (text === "") return finished();
    const colon = text.indexOf(":");
    if (colon === 0) return null;  // a comment
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(text[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") data.push(value);
    else if (field === "event") event = value;
    else if (field === "id" && !value.includes("\0")) id = value;
    return null;
  }

  function finished() {
    const done = data.length ? { event: event || "message", data: data.join("\n"), id } : null;
    event = "";
    data = [];
    return done;
  }

  return (text) => {
    if (first && text !== "") {
      if (text[0] === "\uFEFF") text = text.slice(1);
      first = false;
    }
    rest += text;
    const found = [];
    let start = 0;
    // looked for once, not anew for each line: there may be none in a megabyte
    let carriage = rest.indexOf("\r");
    for (;;) {
      if (carriage >= 0 && carriage < start) carriage = rest.indexOf("\r", start);
      const newline = rest.indexOf("\n", start);
      const end = carriage >= 0 && (newline < 0 || carriage < newline) ? carriage : newline;
      // a carriage return at the end may be half of a pair
      if (end < 0 || (rest[end] === "\r" && end + 1 === rest.length)) break;
      const done = line(rest.slice(start, end));
      if (done !== null) found.push(done);
      start = rest[end] === "\r" && rest[end + 1] === "\n" ? end + 2 : end + 1;
    }
    rest = rest.slice(start);
    return found;
  };
}
