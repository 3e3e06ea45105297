/**
 * A conversation as a file.
 */

import { asJson, asMarkdown } from "./conversation.js";

/**
 * Let the browser save a conversation.
 *
 * @param {import("./conversation.js").Conversation} conversation
 * @param {import("./conversation.js").Turn[]} turns
 * @param {"md" | "json"} kind
 */
export function saveFile(conversation, turns, kind) {
  const text = kind === "md" ? asMarkdown(conversation, turns) : asJson(conversation, turns);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
  link.download = `${fileName(conversation.title)}.${kind}`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function fileName(title) {
  return title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60) || "conversation";
}
