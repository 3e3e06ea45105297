// Ask a gateway's scripted models with the official Node client, and say as JSON what came.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, baseURL] = process.argv.slice(2);
const entry = createRequire(pathToFileURL(`${folder}/`)).resolve("openai");
const { default: OpenAI } = await import(pathToFileURL(entry));
const client = new OpenAI({ baseURL, apiKey: "unused", maxRetries: 0 });
const messages = [{ role: "user", content: "Say hello." }];
const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }];
const said = {};

const ask = (model, more = {}) =>
  client.chat.completions.create({ model, messages, stream: true, ...more });

async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

function texts(chunks) {
  const told = [];
  for (const chunk of chunks)
    for (const choice of chunk.choices)
      told[choice.index] = (told[choice.index] ?? "") + (choice.delta.content ?? "");
  return told;
}

let chunks = await all(await ask("plain"));
said.plain = texts(chunks);
said["empty choices"] = chunks.filter((chunk) => chunk.choices.length === 0).length;
said.finish = chunks.at(-1).choices[0].finish_reason;
said.account = chunks.at(-1).deltaweir.usage.completion_tokens;

chunks = await all(await ask("plain", { stream_options: { include_usage: true } }));
const { prompt_tokens, completion_tokens } = chunks.at(-1).usage;
said.usage = [prompt_tokens, completion_tokens];
said["usage before"] = chunks.slice(0, -1).filter((chunk) => chunk.usage != null).length;
said.whole = (await ask("whole", { stream: false })).choices[0].message.content;
said.two = texts(await all(await ask("two", { n: 2 })));

said["tool pieces"] = (await all(await ask("tools", { tools }))).flatMap((chunk) =>
  (chunk.choices[0].delta.tool_calls ?? []).map((call) => [
    call.index,
    call.id ?? null,
    call.function.name ?? null,
    call.function.arguments,
  ]),
);
said.scored = (await all(await ask("scored", { logprobs: true }))).flatMap((chunk) =>
  (chunk.choices[0].logprobs?.content ?? []).map((scored) => scored.token),
);

said.helper = {};
for (const [model, more] of Object.entries({
  plain: { stream_options: { include_usage: true } },
  tools: { tools },
  two: { n: 2 },
  scored: { logprobs: true },
})) {
  const helped = client.chat.completions.stream({ model, messages, ...more });
  const final = await helped.finalChatCompletion();
  said.helper[model] = [
    final.choices.map(
      ({ message }) =>
        message.content ||
        message.tool_calls.map((call) => [call.function.name, call.function.arguments]),
    ),
    final.choices.map((choice) => choice.finish_reason),
    final.usage?.completion_tokens ?? null,
  ];
}

said.errors = {};
for (const model of ["limited", "refusing", "broken", "dying", "nobody"]) {
  let came = "";
  try {
    for await (const chunk of await ask(model)) came += chunk.choices[0].delta.content ?? "";
  } catch (error) {
    said.errors[model] = [
      error.constructor.name,
      error.status ?? null,
      error.code ?? null,
      error.param ?? null,
      error.headers?.get("retry-after") ?? null,
      came,
    ];
  }
}

for await (const _ of await ask("endless")) break; // the client aborts the request
const helped = client.chat.completions.stream({ model: "endless", messages });
helped.on("error", () => {});
await new Promise((resolve) => helped.once("content", resolve));
helped.abort();
try {
  await helped.done();
  said.aborted = null;
} catch (error) {
  said.aborted = error.constructor.name;
}
console.log(JSON.stringify(said));
