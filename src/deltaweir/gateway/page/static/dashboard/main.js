/** The dashboard. */

export async function enter(root, settings) {
  root.textContent = `Dashboard of ${settings.version}`;
}

export function leave() {}
