// Stream from a server with the official Node client, and say as JSON what came.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, baseURL, model] = process.argv.slice(2);
const entry = createRequire(pathToFileURL(`${folder}/`)).resolve("openai");
const { default: OpenAI } = await import(pathToFileURL(entry));
const client = new OpenAI({ baseURL, apiKey: "unused", maxRetries: 0 });
const messages = [{ role: "user", content: "Say hello." }];
const short = { model, messages, temperature: 0, max_tokens: 5 };
const said = {};

let text = "";
for await (const chunk of await client.chat.completions.create({ ...short, stream: true })) {
  text += chunk.choices[0].delta.content ?? "";
  said.finish = chunk.choices[0].finish_reason;
  said.account = chunk.deltaweir?.usage?.completion_tokens;
}
said.text = text;
said.whole = (await client.chat.completions.create(short)).choices[0].message.content;

const helped = client.chat.completions.stream(short);
said.final = (await helped.finalChatCompletion()).choices[0].message.content;

let empty = 0;
for await (const chunk of await client.chat.completions.create({
  ...short,
  stream: true,
  stream_options: { include_usage: true },
})) {
  if (chunk.choices.length === 0) {
    empty += 1;
    said.usage = chunk.usage.completion_tokens;
  }
}
said["empty choices"] = empty;

const left = await client.chat.completions.create({ ...short, max_tokens: 2000, stream: true });
for await (const chunk of left) {
  if (chunk.choices[0].delta.content) break; // the client aborts the request
}
try {
  await client.chat.completions.create({ ...short, model: "nonsense" });
} catch (error) {
  said["unknown model"] = [error.constructor.name, error.code];
}
said.models = [];
for await (const one of client.models.list()) said.models.push(one.id);
console.log(JSON.stringify(said));
