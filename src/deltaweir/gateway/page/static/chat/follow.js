/**
 * Keeps the end of the conversation in sight, but only for who is there already.
 */

const NEAR = 40;

/** Follows the end of a log that grows. */
export class Follow {
  /**
   * @param {HTMLElement} log What scrolls.
   * @param {HTMLButtonElement} newest Shown to who has scrolled away; leads back.
   */
  constructor(log, newest) {
    this.log = log;
    this.newest = newest;
    this.following = true;
    this.top = 0;
    log.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    newest.addEventListener("click", () => {
      this.toEnd();
      log.focus({ preventScroll: true });
    });
    // the log grows also when a picture of the keyboard goes, or fonts change
    new ResizeObserver(() => this.grown()).observe(log);
  }

  /** Go to the end, and stay there. */
  toEnd() {
    this.following = true;
    this.grown();
  }

  /** The log has grown. */
  grown() {
    if (this.following) this.log.scrollTop = this.log.scrollHeight;
    this.top = this.log.scrollTop;
    this.#show();
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.log;
    const near = scrollHeight - scrollTop - clientHeight < NEAR;
    // only a person scrolls up
    if (scrollTop < this.top - 1 && !near) this.following = false;
    else if (near) this.following = true;
    this.top = scrollTop;
    this.#show();
  }

  #show() {
    this.newest.hidden = this.following;
  }
}
