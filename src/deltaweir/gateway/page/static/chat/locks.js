/**
 * One tab at a time.
 */

/**
 * Do something while no other tab does the same; where that cannot be told, do it.
 *
 * @param {string} id Of what is done.
 * @param {() => Promise<void>} work
 * @returns {Promise<void>} When it is done.
 */
export function alone(id, work) {
  // only there where the page is served over TLS, or from this machine
  return navigator.locks ? navigator.locks.request(`deltaweir.${id}`, work) : work();
}
