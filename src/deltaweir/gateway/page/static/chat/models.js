/**
 * The choice of a model: those the server lists, or a name that fits one of its patterns.
 */

const OTHER = " other";

/** The field and its companion for a free name. */
export class ModelChoice {
  /**
   * @param {HTMLSelectElement} select
   * @param {HTMLInputElement} name
   * @param {() => void} changed
   */
  constructor(select, name, changed) {
    this.select = select;
    this.name = name;
    this.models = [];
    select.addEventListener("change", () => {
      name.hidden = select.value !== OTHER;
      if (!name.hidden) name.focus();
      changed();
    });
    name.addEventListener("change", changed);
  }

  /** @param {{models: object[], patterns: string[]}} settings What the server offers. */
  offer({ models, patterns }) {
    const chosen = this.value;
    this.models = models;
    this.select.replaceChildren(...models.map(({ id }) => new Option(id, id)));
    if (patterns.length) this.select.append(new Option("another …", OTHER));
    this.name.placeholder = patterns.join(", ");
    this.select.disabled = models.length + patterns.length === 0;
    if (chosen) this.value = chosen;
    this.any();
  }

  /** Choose the first where none is chosen. */
  any() {
    if (this.select.selectedIndex < 0) this.select.selectedIndex = 0;
    this.name.hidden = this.select.value !== OTHER;
  }

  /** The model's name; empty where none is chosen. */
  get value() {
    return this.select.value === OTHER ? this.name.value.trim() : this.select.value;
  }

  /** Nothing is chosen where it is not offered. */
  set value(id) {
    const known = this.models.some((one) => one.id === id);
    const free = [...this.select.options].some((option) => option.value === OTHER);
    if (known) {
      this.select.value = id;
    } else if (free && id) {
      this.select.value = OTHER;
      this.name.value = id;
    } else {
      this.select.selectedIndex = -1;
    }
    this.name.hidden = this.select.value !== OTHER;
  }

  /** The guards that watch the chosen model whatever is asked. */
  get guards() {
    return this.models.find((one) => one.id === this.value)?.guard ?? [];
  }
}
