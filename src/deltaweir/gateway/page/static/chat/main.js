/** The conversation. */

export async function enter(root, settings) {
  root.textContent = settings.models.map((model) => model.id).join(", ");
}

export function leave() {}
