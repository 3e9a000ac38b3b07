// The stream of a page that is looked at: a hidden one lets go of its own, for a browser has six connections to a host.
// It is there again, with news of all that may have changed meanwhile, as soon as the page is shown.

/** What a stream says of itself, and not of things: told to the page, whatever is on it. */
const WORDS = ["lost", "back", "ended"];

class Stream {
  onopen = null;
  onerror = null;
  #heard = new Map();
  #source = null;
  #over = false;

  constructor(url) {
    this.url = url;
    document.addEventListener("visibilitychange", this.#look);
    this.#look();
  }

  get readyState() {
    if (this.#over) return EventSource.CLOSED;
    return this.#source?.readyState ?? EventSource.CONNECTING;
  }

  addEventListener(name, listener) {
    if (!this.#heard.has(name)) this.#heard.set(name, new Set());
    this.#heard.get(name).add(listener);
    this.#source?.addEventListener(name, listener);
  }

  removeEventListener(name, listener) {
    this.#heard.get(name)?.delete(listener);
    this.#source?.removeEventListener(name, listener);
  }

  close() {
    this.#over = true;
    document.removeEventListener("visibilitychange", this.#look);
    this.#source?.close();
  }

  #look = () => {
    if (document.hidden) {
      this.#source?.close();
      this.#source = null;
    } else if (!this.#source) {
      this.#open();
    }
  };

  #open() {
    const source = this.#source = new EventSource(this.url);
    for (const word of WORDS) {
      source.addEventListener(word, () => {
        if (word === "ended") this.close(); // nothing comes after it, and that is no error
        document.dispatchEvent(new Event(`sidegate:${word}`));
      });
    }
    source.onopen = (event) => this.onopen?.(event);
    source.onerror = (event) => {
      if (source.readyState === EventSource.CLOSED) this.close();
      this.onerror?.(event);
    };
    for (const [name, listeners] of this.#heard) {
      for (const listener of listeners) source.addEventListener(name, listener);
    }
  }
}

htmx.createEventSource = (url) => new Stream(url);
