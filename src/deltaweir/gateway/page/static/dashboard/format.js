/**
 * Numbers and times as people read them. No DOM. What is not known is `?`, never 0.
 */

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const CENTS = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const MILLS = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 3 });
const UNKNOWN = "?";
const STEPS = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

/**
 * @param {number | null} value A count.
 * @returns {string} With commas, such as `12,345`.
 */
export function count(value) {
  return value === null || value === undefined ? UNKNOWN : WHOLE.format(value);
}

/**
 * @param {number | null} value A count.
 * @returns {string} In three digits, such as `12.3k`.
 */
export function short(value) {
  if (value === null || value === undefined) return UNKNOWN;
  for (const [size, letter] of STEPS) {
    // 999,999 is 1M, not 1000k
    if (value >= size * 0.9995) return threeDigits(value / size) + letter;
  }
  return Number.isInteger(value) ? String(value) : threeDigits(value);
}

/**
 * @param {number | null} value Dollars.
 * @param {number} counting Digits that count, of less than ten cents; with three, of less than a
 *   dollar, as the marks of an axis need that are 2.5 cents apart.
 * @returns {string} With as many digits as it needs, such as `$0.0012` and `$1,234.50`.
 */
export function money(value, counting = 2) {
  if (value === null || value === undefined) return UNKNOWN;
  if (value === 0) return "$0";
  if (value >= 0.0995) {
    return `$${(counting > 2 && value < 1 ? MILLS : CENTS).format(value)}`;
  }
  const digits = Math.min(15, counting - 1 - Math.floor(Math.log10(value)));
  return `$${value.toFixed(digits).replace(/\.?0+$/, "")}`;
}

/**
 * @param {number | null} value Something per second.
 * @returns {string} One digit behind the point below 100.
 */
export function rate(value) {
  if (value === null || value === undefined) return UNKNOWN;
  if (value === 0) return "0";
  return value < 99.95 ? value.toFixed(1) : WHOLE.format(value);
}

/**
 * @param {number} seconds How long something has lasted.
 * @returns {string} In its two largest units, such as `2 min 05 s`.
 */
export function age(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const minutes = Math.floor(whole / 60);
  const hours = Math.floor(minutes / 60);
  if (minutes === 0) return `${whole} s`;
  if (hours === 0) return `${minutes} min ${two(whole % 60)} s`;
  if (hours < 24) return `${hours} h ${two(minutes % 60)} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/**
 * @param {number | null} seconds A short time.
 * @returns {string} In the unit that suits it, such as `80 ms`.
 */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return UNKNOWN;
  if (seconds === 0) return "0 s";
  if (seconds < 0.0009995) return `${threeDigits(seconds * 1e6)} µs`;
  if (seconds < 0.9995) return `${threeDigits(seconds * 1e3)} ms`;
  return `${threeDigits(seconds)} s`;
}

/**
 * @param {number} part
 * @param {number} whole
 * @returns {string} Such as `12%`; `<1%` for what is there but rounds to nothing.
 */
export function share(part, whole) {
  if (whole === 0) return "0%";
  const percent = (100 * part) / whole;
  if (part > 0 && percent < 1) return "<1%";
  // only all of it is 100
  return `${part < whole ? Math.min(99, Math.round(percent)) : 100}%`;
}

function threeDigits(value) {
  const digits = value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  const text = value.toFixed(digits);
  return digits === 0 ? text : text.replace(/\.?0+$/, "");
}

function two(value) {
  return String(value).padStart(2, "0");
}
